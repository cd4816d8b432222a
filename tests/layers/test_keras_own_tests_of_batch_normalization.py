"""Keras' own tests of BatchNormalization, run on ours. Its wheel has them from 3.15 on."""

from unittest import mock

import pytest
from keras.src import layers as keras_layers

from kregtools.layers import DropoutAwareBatchNormalization

batch_normalization_test = pytest.importorskip("keras.src.layers.normalization.batch_normalization_test")


@pytest.mark.filterwarnings("ignore::UserWarning")
class KerasBatchNormalizationTest(batch_normalization_test.BatchNormalizationTest):
    """Keras' own tests of BatchNormalization, run on ours."""

    def setUp(self):
        super().setUp()
        patch = mock.patch.object(keras_layers, "BatchNormalization", DropoutAwareBatchNormalization)
        patch.start()
        self.addCleanup(patch.stop)
