"""``cloudtune prices update``, against small servers on this machine that answer as the services' documents say."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cloudtune.cli.app import run_app
from cloudtune.errors import ProviderError
from cloudtune.machines.fetching import Fetcher
from cloudtune.machines.price_cache import cache_file, cached

Answer = Callable[[str, dict[str, list[str]]], tuple[int, str]]
"""From a path and a query to a status and a body."""


class Lists:
    """A server, what it answers, and what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _path, _query: (404, "")
        self.asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        lists = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = parse_qs(parts.query)
                lists.asked.append((parts.path, query, dict(self.headers)))
                status, body = lists.answer(parts.path, query)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lists]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    served = Lists()
    providers = {"aws": "sagemaker", "gcp": "vertex", "azure": "azureml"}
    tables = [
        f'[profiles.{name}-lists]\nprovider = "{own}"\nprice_list = "{served.address}"\n'
        for name, own in providers.items()
    ]
    (tmp_path / "cloudtune.toml").write_text("".join(tables))
    yield served
    served.close()


def found(service: str) -> dict[tuple[str, str], tuple[str, str]]:
    """The fetched prices: on demand and spot by machine (with its accelerators) and region."""
    return {
        (f"{name}+{kind}:{count:g}" if kind else name, price.region): (str(price.on_demand), str(price.spot))
        for (name, kind, count), price in cached(service)
    }


# AWS: an index of regions, and offer files in CSV

INDEX = {
    "formatVersion": "v1.0",
    "publicationDate": "2026-11-20T19:20:31Z",
    "regions": {
        region: {
            "regionCode": region,
            "currentVersionUrl": f"/offers/v1.0/aws/AmazonSageMaker/20261120192031/{region}/index.json",
        }
        for region in ("us-east-1", "eu-west-1")
    },
}
HEADER = (
    '"SKU","OfferTermCode","RateCode","TermType","PriceDescription","EffectiveDate","StartingRange","EndingRange",'
    '"Unit","PricePerUnit","Currency","Product Family","serviceCode","Location","Instance Type","usageType","operation"'
)


def offer(*rows: str) -> str:
    head = ['"FormatVersion","v1.0"', '"Disclaimer","This pricing list is for informational purposes only."']
    head += ['"Publication Date","2026-11-20T19:20:31Z"', '"Version","20261120192031"', '"OfferCode","AmazonSageMaker"']
    return "\n".join([*head, HEADER, *rows, ""])


def rate(usage: str, price: str, term: str = "OnDemand") -> str:
    described = f"${price} per {usage} hour, with a comma"
    cells = ["S1", "JRTCKXETXF", "S1.J.6", term, described, "2026-11-01", "0", "Inf", "Hrs", price, "USD"]
    return ",".join(
        f'"{cell}"' for cell in (*cells, "ML Instance", "AmazonSageMaker", "US East", "", usage, "RunInstance")
    )


def aws(path: str, _query: object) -> tuple[int, str]:
    if path == "/offers/v1.0/aws/AmazonSageMaker/current/region_index.json":
        return 200, json.dumps(INDEX)
    if path.endswith("/us-east-1/index.csv"):
        rows = [
            rate("USE1-Train:ml.g5.xlarge", "1.4084000000"),
            rate("USE1-Train:ml.g5.xlarge", "0.9", "Reserved"),
            rate("USE1-Host:ml.g5.xlarge", "9.9"),
            rate("Train:ml.m5.large", "0.115"),
            rate("USE1-Train:ml.new9.xlarge", "5"),
        ]
        return 200, offer(*rows)
    return 200, offer(rate("EU-Train:ml.m5.large", "0.128"))


def test_aws_price_list(lists: Lists, capsys: pytest.CaptureFixture[str]) -> None:
    lists.answer = aws
    asked = ["prices", "update", "--on", "aws-lists", "--region", "us-east-1", "--region", "eu-west-1"]
    assert run_app(asked) == 0
    assert "3 prices in us-east-1, eu-west-1" in capsys.readouterr().out
    assert found("sagemaker") == {
        ("ml.g5.xlarge+A10G:1", "us-east-1"): ("1.4084", "None"),
        ("ml.m5.large", "us-east-1"): ("0.115", "None"),
        ("ml.m5.large", "eu-west-1"): ("0.128", "None"),
    }
    assert {price.date and price.date.isoformat() for _, price in cached("sagemaker")} == {"2026-11-20"}
    assert run_app(["prices", "--on", "aws-lists", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    fetched = {row["region"]: (row["machines"], row["date"]) for row in rows if row["source"] == "AWS's price list"}
    assert fetched == {"us-east-1": (2, "2026-11-20"), "eu-west-1": (1, "2026-11-20")}
    assert any(row["source"].startswith("EC2") for row in rows)  # what is shipped still counts for all others


def test_a_region_that_aws_does_not_list_is_refused_with_the_nearest(
    lists: Lists, capsys: pytest.CaptureFixture[str]
) -> None:
    lists.answer = aws
    assert run_app(["prices", "update", "--on", "aws-lists", "--region", "eu-west-11"]) == 2
    assert "did you mean 'eu-west-1'" in capsys.readouterr().err


# Azure: a filter, and pages that name the next one


def item(
    size: str, sku: str, price: float, product: str = "Virtual Machines DSv3 Series", unit: str = "1 Hour"
) -> dict[str, Any]:
    return {
        "currencyCode": "USD", "tierMinimumUnits": 0.0, "retailPrice": price, "unitPrice": price, "armRegionName": "westeurope",
        "location": "EU West", "meterName": sku, "productName": product, "skuName": sku, "serviceName": "Virtual Machines",
        "serviceFamily": "Compute", "unitOfMeasure": unit, "type": "Consumption", "armSkuName": size,
    }  # fmt: skip


def azure(lists: Lists) -> Answer:
    pages = [
        [
            item("Standard_D4s_v3", "D4s v3", 0.24),
            item("Standard_D4s_v3", "D4s v3", 0.424, "Virtual Machines DSv3 Series Windows"),
            item("Standard_D4s_v3", "D4s v3 Spot", 0.03),
        ],
        [
            item("Standard_D4s_v3", "D4s v3 Low Priority", 0.048),
            item("Standard_NC4as_T4_v3", "NC4as T4 v3", 0.658),
            item("Standard_X9", "X9", 1.0),
        ],
    ]

    def answer(path: str, query: dict[str, list[str]]) -> tuple[int, str]:
        assert path == "/api/retail/prices"
        page = int(query.get("$skip", ["0"])[0])
        following = f"{lists.address}{path}?$skip={page + 1}" if page + 1 < len(pages) else None
        return 200, json.dumps({"BillingCurrency": "USD", "Items": pages[page], "NextPageLink": following, "Count": 3})

    return answer


def test_azures_retail_prices(lists: Lists) -> None:
    lists.answer = azure(lists)
    assert run_app(["prices", "update", "--on", "azure-lists", "--region", "westeurope"]) == 0
    assert found("azureml") == {
        ("Standard_D4s_v3", "westeurope"): ("0.24", "0.048"),
        ("Standard_NC4as_T4_v3+T4:1", "westeurope"): ("0.658", "None"),
    }
    assert "armRegionName eq 'westeurope'" in lists.asked[0][1]["$filter"][0]


def test_a_next_page_on_another_host_is_not_asked(lists: Lists, capsys: pytest.CaptureFixture[str]) -> None:
    lists.answer = lambda _path, _query: (200, json.dumps({"Items": [], "NextPageLink": "https://example.com/steal"}))
    assert run_app(["prices", "update", "--on", "azure-lists", "--region", "westeurope"]) == 4
    assert "leads to another host, example.com" in capsys.readouterr().err


def test_pages_without_an_end_come_to_an_end(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudtune_azureml.price_list._MOST_PAGES", 5)
    link = f"{lists.address}/api/retail/prices?$skip=0"
    lists.answer = lambda _path, _query: (200, json.dumps({"Items": [], "NextPageLink": link}))
    assert run_app(["prices", "update", "--on", "azure-lists", "--region", "westeurope"]) == 4
    assert len(lists.asked) == 5


# Google: units in pages


def unit(
    description: str, usd: str, usage: str = "OnDemand", regions: tuple[str, ...] = ("us-central1",)
) -> dict[str, Any]:
    units, _, part = usd.partition(".")
    money = {"currencyCode": "USD", "units": units, "nanos": int(part.ljust(9, "0"))}
    expression = {"usageUnit": "h", "tieredRates": [{"startUsageAmount": 0, "unitPrice": money}]}
    return {
        "name": "services/6F81-5844-456A/skus/X",
        "skuId": "X",
        "description": f"{description} running in Americas",
        "category": {"serviceDisplayName": "Compute Engine", "resourceFamily": "Compute", "usageType": usage},
        "serviceRegions": list(regions),
        "pricingInfo": [{"summary": "", "pricingExpression": expression, "effectiveTime": "2026-11-26T00:00:00Z"}],
    }


PAGES = {
    "": (
        [
            unit("N1 Predefined Instance Core", "0.031611"),
            unit("N1 Predefined Instance Ram", "0.004237"),
            unit("Spot Preemptible N1 Predefined Instance Core", "0.01", "Preemptible"),
            unit("Spot Preemptible N1 Predefined Instance Ram", "0.001", "Preemptible"),
            unit("Commitment v1: N1 Predefined Instance Core", "0.01", "Commit1Yr"),
            {"description": "another form"},
        ],
        "more",
    ),
    "more": (
        [
            unit("Nvidia Tesla T4 GPU", "0.35"),
            unit("Nvidia Tesla T4 GPU attached to Spot Preemptible VMs", "0.14", "Preemptible"),
        ],
        "",
    ),
}


def google(path: str, query: dict[str, list[str]]) -> tuple[int, str]:
    assert path == "/v1/services/6F81-5844-456A/skus"
    skus, following = PAGES[query.get("pageToken", [""])[0]]
    return 200, json.dumps({"skus": skus, "nextPageToken": following})


def test_googles_billing_catalogue(lists: Lists) -> None:
    lists.answer = google
    assert run_app(["prices", "update", "--on", "gcp-lists", "--region", "us-central1"]) == 0
    prices = found("vertex")
    # 4 × 0.031611 + 15 × 0.004237 = 0.189999, and 15 % of it: what https://cloud.google.com/vertex-ai/pricing lists
    assert prices["n1-standard-4", "us-central1"] == ("0.21849885", "0.08349985")
    # with a T4 at 0.35, spot 0.14: 0.539999 × 1.15 and 0.195 + 0.15 × 0.539999
    assert prices["n1-standard-4+T4:1", "us-central1"] == ("0.62099885", "0.27599985")
    assert not any(name.startswith("e2") for name, _ in prices)  # whose units were not listed
    assert len(lists.asked) == 2
    assert not any("Authorization" in headers or "X-Goog-Api-Key" in headers for _, _, headers in lists.asked)


# What goes wrong


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((500, "oops"), "answered 500"),
        ((200, "<html>"), "did not answer with JSON"),
        ((200, "[]"), "no index of regions"),
        ((200, "[" * 100_000), "did not answer with JSON"),
    ],
)
def test_a_damaged_answer_leaves_the_old_prices(
    lists: Lists, capsys: pytest.CaptureFixture[str], answer: tuple[int, str], message: str
) -> None:
    lists.answer = aws
    update = ["prices", "update", "--on", "aws-lists", "--region", "us-east-1"]
    assert run_app(update) == 0
    before = cache_file("sagemaker").read_text()
    lists.answer = lambda _path, _query: answer
    assert run_app(update) == 4
    assert message in capsys.readouterr().err
    assert cache_file("sagemaker").read_text() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (offer(rate("USE1-Train:ml.m5.large", "cheap")), "'cheap' for a price"),
        (offer(rate("USE1-Train:ml.m5.large", "-1")), "has -1 for ml.m5.large in us-east-1"),
        (offer(rate("USE1-Host:ml.m5.large", "1")), "no known machine in us-east-1"),
        ("SKU,Price\n1,2\n", "not of the form that its documents say"),
        ("", "not of the form that its documents say"),
    ],
)
def test_prices_that_are_none_leave_the_old_ones(
    lists: Lists, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    lists.answer = lambda path, _query: (200, json.dumps(INDEX) if path.endswith(".json") else text)
    assert run_app(["prices", "update", "--on", "aws-lists", "--region", "us-east-1"]) == 4
    assert message in capsys.readouterr().err
    assert not cache_file("sagemaker").exists()


def test_one_service_that_fails_keeps_no_other_from_its_prices(
    lists: Lists, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(path: str, query: dict[str, list[str]]) -> tuple[int, str]:
        return aws(path, query) if path.startswith("/offers") else (503, "")

    lists.answer = answer
    assert run_app(["prices", "update", "--on", "azure-lists,aws-lists", "--region", "us-east-1"]) == 4
    assert "azure-lists: " in capsys.readouterr().err
    assert ("ml.m5.large", "us-east-1") in found("sagemaker")


def test_fetching_is_bounded_in_size_and_time(lists: Lists) -> None:
    lists.answer = lambda _path, _query: (200, "x" * 100_000)
    with pytest.raises(ProviderError, match="answers with more than a price list has"):
        list(Fetcher(most_bytes=50_000).lines(lists.address))
    with pytest.raises(ProviderError, match="takes too long"):
        list(Fetcher(seconds=0).lines(lists.address))
    with pytest.raises(ProviderError, match="must begin with https://"):
        list(Fetcher().lines("http://example.com/prices"))
    with pytest.raises(ProviderError, match="cannot be read"):
        list(Fetcher().lines("http://127.0.0.1:9/"))


def test_a_key_in_an_address_is_not_shown(lists: Lists) -> None:
    with pytest.raises(ProviderError) as refused:
        Fetcher().json(f"{lists.address}/skus?key=AIzaSecret")
    assert "AIzaSecret" not in str(refused.value)
