"""What ``[places]`` of a config may say, and its mistakes."""

from pathlib import Path

import pytest

from cloudtune.config import mounts, places
from cloudtune.errors import ConfigError
from cloudtune.porting.places import Place, Places
from cloudtune_vertex.words import VertexWords

VERTEX = VertexWords()


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("places = 3\n", "places is a table"),
        ('[places]\n"s3://b/x" = "./x"\n', r"line 2: places\.'s3://b/x' is no table of places by service.*local = "),
        ('[places]\n\n"s3://b/x" = {vertx = "gs://bucket/x"}\n', r"line 3.*no service 'vertx'; did you mean 'vertex'\?"),
        ('[places]\n"s3://b/x" = {gcp = "gs://b-x", vertex = "gs://b-y"}\n', r"says something for 'vertex' twice"),
        ('[places]\n"s3://b/x" = {vertex = "s3://b/y"}\n', r"line 2.*, vertex: 's3://b/y' is no place on Vertex AI; one looks like gs://"),
        ('[places]\n"s3://b/x" = {azure = "gs://…/x"}\n', r"is no place on Azure Machine Learning; one looks like azureml://"),
        ('[places]\n"gs://b/x" = {aws = "s3://…/x"}\n', r"is no place on SageMaker"),
        ('[places]\n"s3://b/x" = {local = "gs://b/y"}\n', r"is no folder or file of this machine"),
        ('[places]\n"s3://b/x" = {vertex = 3}\n', r"a place is a text"),
        ('[places."s3://b/x"]\nvertex = "x"\n', r"line 1: places\.'s3://b/x', vertex: 'x' is no place on Vertex AI"),
        ("[place]\n", "did you mean 'places'"),
    ],
)  # fmt: skip
def test_mistakes_name_the_file_the_line_and_the_key(tmp_path: Path, toml: str, says: str) -> None:
    (tmp_path / "cloudtune.toml").write_text(toml)
    with pytest.raises(ConfigError, match=r"cloudtune\.toml.*" + says):
        places(tmp_path)


def test_the_longest_known_beginning_counts_and_only_whole_parts_of_a_path() -> None:
    known = Places([Place("s3://b", {"vertex": "gs://all"}), Place("s3://b/train", {"vertex": "gs://train/"})])
    assert known.on(VERTEX, "s3://b/train/1.csv") == "gs://train/1.csv"
    assert known.on(VERTEX, "s3://b/training") == "gs://all/training"
    assert known.on(VERTEX, "s3://bb/train") is None
    nearest = Places([Place("s3://b", {"vertex": "gs://all"}), Place("s3://b/train", {"azureml": "azureml:x:1"})])
    assert nearest.on(VERTEX, "s3://b/train") == "gs://all/train"  # what says nothing of a service is passed over
    assert nearest.on(VERTEX, "azureml:x:1") is None


def test_a_place_on_this_machine_is_a_mount_of_all_its_other_names(tmp_path: Path) -> None:
    text = '[places]\n"s3://b/x/" = {gcp = "gs://bucket/x", local = "here"}\n[mounts]\n"s3://b/x" = "there"\n"s3://m" = "m"\n'
    (tmp_path / "cloudtune.toml").write_text(text)
    found = {"s3://b/x": tmp_path / "there", "gs://bucket/x": tmp_path / "here", "s3://m": tmp_path / "m"}
    assert mounts(tmp_path) == found
    table = places(tmp_path)
    assert table.on(VERTEX, "here/part", tmp_path) == "gs://bucket/x/part"
    assert table.on(VERTEX, f"file://{tmp_path}/here") == "gs://bucket/x"


def test_the_nearer_file_wins(tmp_path: Path) -> None:
    near = tmp_path / "job"
    near.mkdir()
    (tmp_path / "cloudtune.toml").write_text('[places]\n"s3://b" = {vertex = "gs://far"}\n')
    (near / "cloudtune.toml").write_text('[places]\n"s3://b" = {vertex = "gs://near"}\n')
    assert places(tmp_path, near).on(VERTEX, "s3://b/x") == "gs://near/x"
