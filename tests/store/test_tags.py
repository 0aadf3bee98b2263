"""Tags: MLflow's names are written out, so that nobody imports MLflow for a name; they must stay MLflow's."""

from __future__ import annotations

from mlflow.utils import mlflow_tags

from reproven.store import tags


def test_tags_are_those_of_mlflow() -> None:
    assert (tags.COMMIT, tags.BRANCH, tags.DIRTY) == (
        mlflow_tags.MLFLOW_GIT_COMMIT,
        mlflow_tags.MLFLOW_GIT_BRANCH,
        mlflow_tags.MLFLOW_GIT_DIRTY,
    )
    assert (tags.DESCRIPTION, tags.PARENT) == (mlflow_tags.MLFLOW_RUN_NOTE, mlflow_tags.MLFLOW_PARENT_RUN_ID)
    assert (tags.USER, tags.LOGGED_IMAGES) == (mlflow_tags.MLFLOW_USER, mlflow_tags.MLFLOW_LOGGED_IMAGES)
    assert (tags.SOURCE_NAME, tags.SOURCE_TYPE) == (
        mlflow_tags.MLFLOW_SOURCE_NAME,
        mlflow_tags.MLFLOW_SOURCE_TYPE,
    )
    assert mlflow_tags.MLFLOW_DATASET_CONTEXT == tags.CONTEXT
