"""What a monitored run leaves behind: plain arrays with names and steps, readable without a backend."""

from kregtools.record.baseline import constant_loss, perfect_loss
from kregtools.record.derived import derived
from kregtools.record.example import example
from kregtools.record.journal import Journal, journal_path
from kregtools.record.record import Record
from kregtools.record.table import Key, Sample

__all__ = ["Journal", "Key", "Record", "Sample", "constant_loss", "derived", "example", "journal_path", "perfect_loss"]
