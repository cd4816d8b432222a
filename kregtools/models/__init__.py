"""Model builders for KerasTuner: sane defaults, and the part each hyperparameter plays."""

from __future__ import annotations

from kregtools.models.cifar_dense import CifarDense
from kregtools.models.cifar_resnet9 import CifarResnet9
from kregtools.models.cifar_resnet20 import CifarResnet20
from kregtools.models.cifar_vgg import CifarVgg
from kregtools.models.digits_dense import DigitsDense
from kregtools.models.fashion_dense import FashionDense
from kregtools.models.imdb_bilstm import ImdbBilstm
from kregtools.models.imdb_bow import ImdbBow
from kregtools.models.imdb_conv1d import ImdbConv1d
from kregtools.models.imdb_nb import ImdbNb
from kregtools.models.imdb_transformer import ImdbTransformer
from kregtools.models.recipe_model import Data, RecipeModel
from kregtools.models.sine_poly import SinePoly

RECIPES: dict[str, type[RecipeModel]] = {
    model.name: model
    for model in (
        DigitsDense,
        SinePoly,
        FashionDense,
        ImdbBow,
        ImdbNb,
        ImdbConv1d,
        ImdbBilstm,
        ImdbTransformer,
        CifarDense,
        CifarVgg,
        CifarResnet20,
        CifarResnet9,
    )
}

__all__ = ["RECIPES", "Data", "RecipeModel", *(model.__name__ for model in RECIPES.values())]
