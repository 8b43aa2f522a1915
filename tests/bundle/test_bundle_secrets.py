"""What stays here of a source folder, however its code travels."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cloudtune import TuningJob, api
from cloudtune.bundle.source import source_tree
from cloudtune.bundle.stays import Rule, suspicious_of
from cloudtune.bundle.tree import Why, tree_of
from cloudtune.planning.plan import Support
from cloudtune.provider.interface import load_provider
from cloudtune.provider.preparing import prepare_in
from cloudtune.run import Run
from cloudtune.store.store import Store

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nhidden-value\n-----END OPENSSH PRIVATE KEY-----\n"
ACCOUNT = json.dumps({"type": "service_account", "private_key": "hidden-value"})
PLANTED = [
    ".env", ".env.local", "prod.env", ".envrc", ".netrc", "sub/.netrc", ".git-credentials", ".ssh/config", "keys/id_ecdsa",
    "keys/id_rsa", "id_ed25519.bak", ".npmrc", ".pypirc", ".pgpass", ".htpasswd", ".dockercfg", ".docker/config.json",
    "cert.p12", "cert.pfx", "server.pem", "server.key", "store.jks", "app.keystore", ".config/gcloud/credentials.db",
    "sub/.config/gcloud/access_tokens.db", ".kube/config", "kubeconfig", "terraform.tfstate", "terraform.tfstate.backup",
    "prod.tfvars", "credentials.json", "application_default_credentials.json", "service-account-prod.json", "secrets/db.txt",
    ".vault-token", ".boto", ".s3cfg", "rclone.conf", ".databrickscfg", ".huggingface/token", "kaggle.json",
    ".streamlit/secrets.toml", ".aws/credentials", ".azure/msal_token_cache.json", ".cargo/credentials.toml", "Prod.ENV",
]  # fmt: skip
BY_CONTENT = {
    "deploy": KEY,
    "robot.json": ACCOUNT,
    "conf/other-job.yml": "hidden",
    "job.yaml": "hidden",
    "flow.yaml": "flow",
}
PROVIDERS = {
    "local": {},
    "ray": {},
    "sagemaker": {"role": "arn:aws:iam::123456789012:role/r", "region": "eu-west-1", "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/x:1"},
    "vertex": {"project": "p", "location": "europe-west4", "bucket": "my-bucket", "image": "europe-docker.pkg.dev/x/y/z:1"},
    "azureml": {"subscription": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "resource_group": "g", "workspace": "w", "compute": "c", "environment": "azureml:e@latest"},
}  # fmt: skip
JOB = {
    "name": "secretive",
    "trial": {"source": ".", "command": "python train.py", "environment": {"TOKEN": "hidden-value"}},
    "objective": {"metric": "loss", "goal": "minimize"},
    "space": {"x": {"type": "float", "low": 0, "high": 1}},
    "strategy": {"type": "random"},
    "limits": {"trials": 1},
}


def plant(folder: Path) -> None:
    for name in PLANTED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("hidden-value")
    (folder / "conf").mkdir()
    for name, text in BY_CONTENT.items():
        job = TuningJob.from_data(JOB).to_yaml() if text == "hidden" else json.dumps(JOB) if text == "flow" else text
        (folder / name).write_text(job)
    (folder / "cloudtune.toml").write_text('[profiles.x]\nprovider = "ray"\naddress = "ray://u:hidden-value@h:1"\n')
    (folder / "train.py").write_text("print('loss=1')\n")
    (folder / "tokenizer.json").write_text('{"added_tokens": []}')
    (folder / "config.yaml").write_text("trial: 1\nmodel: small\n")
    (folder / "README.md").write_text("How to:\n\ntrial:\nobjective:\nspace:\n")


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a run's folder, archives unpacked."""
    found: dict[str, bytes] = {}
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        found[path.relative_to(folder).as_posix()] = data = path.read_bytes()
        if tarfile.is_tarfile(path):
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                found |= {member.name: file.read() for member in archive if (file := archive.extractfile(member))}
    return found


@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_planted_secret_is_packed(tmp_path: Path, provider: str) -> None:
    plant(tmp_path)
    made = load_provider(provider)(PROVIDERS[provider])
    job = TuningJob.from_data({**JOB, "trial": {**JOB["trial"], "environment": {}}})  # type: ignore[dict-item]
    run = Run(prepare_in(Store(tmp_path), made, provider, job, base=tmp_path), made)
    packed = {name.removeprefix("source/"): data for name, data in contents(run.folder).items()}
    assert {"train.py", "tokenizer.json", "config.yaml", "README.md"} <= packed.keys()
    assert not {*PLANTED, *BY_CONTENT, "cloudtune.toml"} & packed.keys()
    assert not [name for name, data in packed.items() if b"hidden-value" in data]
    stays = " ".join(note.message for note in run.plan.notes if note.path == "trial.source")
    assert "usually holds secrets" in stays
    assert "cloudtune's own file" in stays


def tree(folder: Path, *ignore: str) -> Any:
    job = TuningJob.from_data({**JOB, "trial": {"source": ".", "command": "true", "ignore": list(ignore)}})
    return source_tree(job, folder)


def test_a_secret_is_sent_by_its_own_name_only(tmp_path: Path) -> None:
    plant(tmp_path)
    sent = tree(tmp_path, "!prod.env", "!secrets/db.txt", "!*.pem", "!deploy", "!.aws/")
    names = {file.name for file in sent.files}
    assert {"prod.env", "secrets/db.txt", "server.pem", "deploy", ".aws/credentials"} <= names
    assert not {".env", "server.key", "robot.json"} & names
    assert {"prod.env", "server.pem", "deploy"} <= set(sent.suspicious)
    listed = {file.name for file in tree(tmp_path, "*", "!*.json", "!train.py", "!**/*.yaml", "!*.toml").files}
    assert listed == {"train.py", "tokenizer.json", "config.yaml"}, "a list of what to take means no secrets"


def test_what_looks_like_a_secret_and_travels_is_told(tmp_path: Path) -> None:
    for name, text in {
        "train.py": "print()", "notes.md": f"See:\n{KEY}", "config.ini": "aws_secret_access_key = abcdefghijklmnopqrstuvwxyz",
        "db.yaml": "password: hunter22\n", "my_password.csv": "x", "tool.py": 'KEY = "AKIAABCDEFGHIJKLMNOP"',
        "plain.yaml": "learning_rate: 0.1\n", "example.py": 'KEY = "AKIAIOSFODNN7EXAMPLE"', "token_counts.csv": "1",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    suspicious = set(tree(tmp_path).suspicious)
    assert suspicious >= {"notes.md", "config.ini", "db.yaml", "my_password.csv", "tool.py"}
    assert not {"train.py", "plain.yaml", "example.py"} & suspicious


def test_data_travels_whole_and_its_secrets_are_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "train.py").write_text("")
    (tmp_path / "data/.env").write_text("A=1")
    (tmp_path / "data/rows.csv").write_text("1,2")
    assert suspicious_of(tree_of(tmp_path / "data").files) == (".env",)
    job = TuningJob.from_data({**JOB, "data": {"train": "data"}})
    plan = api.plan(job, "local", base=tmp_path)
    assert plan.support("data.train") is not Support.EXACT
    assert any(note.path == "data.train" and ".env" in note.message for note in plan.notes)
    assert api.plan(job, "local").support("data.train") is Support.EXACT, "without a look at files nothing is said"


def test_a_job_file_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    texts = {
        "j1": "trial: {command: x}\nobjective: {}\nspace: {}\n",
        "j2.yml": "{trial: {command: x}, objective: {}, space: {}}",
        "j3.json": '{"space": {}, "objective": [], "trial": {"environment": {"A": "b"}}}',
        "j4.yaml": "# a comment\n%YAML 1.1\n---\ntrial: [unclosed\nobjective: a\nspace: b\n",
        "no1.yaml": "spec:\n  trial: 1\n  objective: 2\n  space: 3\n",
        "no2.json": '{"spec": {"trial": 1, "objective": 2, "space": 3}}',
        "no3.yaml": "- trial\n- objective\n- space\n",
        "bomb.yaml": "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b]\n# trial objective space\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert {each.name for each in tree(tmp_path).excluded if each.why is Why.OWN} == {
        "j1",
        "j2.yml",
        "j3.json",
        "j4.yaml",
    }


def test_outputs_of_earlier_runs_in_the_source_stay(tmp_path: Path) -> None:
    (tmp_path / "out/run-1").mkdir(parents=True)
    (tmp_path / "out/run-1/model.bin").write_text("")
    (tmp_path / "train.py").write_text("")
    job = TuningJob.from_data({**JOB, "output": {"local": "./out", "sagemaker": "s3://b/o"}})
    assert [file.name for file in source_tree(job, tmp_path).files] == ["train.py"]


def test_version_control_and_caches_stay_without_a_word() -> None:
    rule = Rule(("*.log",))
    assert rule.choose(".git/") is False
    assert rule.choose("a/__pycache__/") is False
    assert rule.choose("x.log") is False
    assert rule.choose("train.py") is True


def test_the_drivers_own_job_and_what_it_carries_are_no_secrets() -> None:
    rule = Rule(())
    for name in ("cloudtune_driver.json", "cloudtune_job.json", "stores/store.db", "cloudtune/private.py", "trial.py"):
        assert rule.choose(name) is True
