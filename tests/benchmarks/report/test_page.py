"""The page is whole, needs nothing else, and takes no orders from a record."""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import bench_record
import pytest

import benchmarks.report
from benchmarks.report.page import headline_svg, render_page

HOSTILE = (
    "</title></style></text><script>alert(1)</script><img src=x onerror=alert(1)>"
    "\"' onload=x {{7*7}}\x1b"
)
VOID = {"meta", "br", "img", "link", "input"}
KEPT = {
    "all", "site", "age", "sex", "ours", "original", "streaming", "size class", "front end",
    "quick", "full", "resample", "gate", "network", "decision",
}  # fmt: skip
THEME = Path(benchmarks.report.__file__).parent / "templates" / "theme.css"


class Reader(HTMLParser):
    """Tags, attributes and text; fails on a tag that closes another."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = Counter(), [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def spoiled(value):
    """The record with every free text hostile."""
    if isinstance(value, str):
        return value if value in KEPT else HOSTILE + value
    if dataclasses.is_dataclass(value):
        fields = {f.name: spoiled(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return type(value)(**fields)
    if isinstance(value, Mapping):
        return {k if k in KEPT else HOSTILE + k: spoiled(v) for k, v in value.items()}
    return tuple(map(spoiled, value)) if isinstance(value, tuple) else value


@pytest.fixture(scope="module")
def page():
    return render_page(bench_record.record())


@pytest.fixture(scope="module")
def read(page):
    return Reader(page)


def test_the_page_asks_for_nothing_else(page, read):
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & set(read.tags)
    assert not {"src", "href", "xlink:href"} & {key for key, _ in read.attributes}
    assert "@import" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page
    addresses = set(re.findall(r"https?://[^\"'\s<]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}


def test_sections_come_in_the_order_of_the_report(page):
    order = ["front", "accuracy", "latency", "peers", "microcontrollers", "what", "limits"]
    assert re.findall(r'<section id="([\w-]+)">', page) == [*order, "reproduce"]


def test_each_chart_says_what_it_shows_under_ids_of_its_own(page, read):
    ids = [value for key, value in read.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    named = [value.split() for key, value in read.attributes if key == "aria-labelledby"]
    assert named
    assert all(set(pair) <= set(ids) for pair in named)
    assert read.tags["svg"] == len(named) == page.count('role="img"')


def test_the_page_tells_the_figures(read):
    for said in (
        "Murmur AUROC 0.955 [0.908, 0.978] at 1.2 ms CPU per second of audio",
        "withheld: 49 samples",
        "36 for p90, 72 for p95, 368 for p99",
        "the package opensmile is not installed",
        "599 of 600",
        "acula-edge bench report imaginary-lung --full --data DIR",
        "Imaginary CPU 9000",
        "not told",
        "All of this is made up.",
    ):
        assert said in read.words


def test_stamps_stand_at_the_head():
    words = Reader(render_page(bench_record.bare())).words
    for stamp in ("not comparable", "partial", "quick"):
        assert words.index(stamp) < words.index("Limits")
    assert "load average 4.8 on 2 cores" in words


@pytest.mark.parametrize(
    "changes",
    [
        {"accuracy": None},
        {"peers": None},
        {"runs": ()},
        {"runs": (), "accuracy": None, "peers": None},
        {"students": (), "microcontrollers": ()},
        {"accuracy": dataclasses.replace(bench_record.accuracy(), original=None, variants=())},
        {"peers": dataclasses.replace(bench_record.peers(), rows=(), missing=())},
        {
            "runs": (
                dataclasses.replace(
                    bench_record.record().runs[0],
                    latency=dataclasses.replace(
                        bench_record.latency(), cold=None, flat=None, paced=None, capacity=None,
                        onset=(), front_end_share=None,
                    ),
                ),
            )
        },
    ],
)  # fmt: skip
def test_any_part_may_be_missing(changes):
    assert "Research use only" in Reader(render_page(bench_record.record(**changes))).words


@pytest.mark.parametrize(
    "unknown", [{"auroc": None}, {"auroc": None, "auprc": None, "ece": None, "reliability": ()}]
)
def test_a_sample_too_small_for_figures_leaves_them_out(unknown):
    """As `--quick` draws them: groups are there, and nothing is known of how well they are told."""
    accuracy = bench_record.accuracy()
    blind = tuple(
        dataclasses.replace(
            item, groups=tuple(dataclasses.replace(group, **unknown) for group in item.groups)
        )
        for item in accuracy.variants
    )
    record = bench_record.record(accuracy=dataclasses.replace(accuracy, variants=blind))
    assert "Research use only" in Reader(render_page(record)).words


def test_a_hostile_record_cannot_inject():
    record = spoiled(bench_record.record())
    page = render_page(record)
    read = Reader(page)
    assert not {"script", "img"} & set(read.tags)
    assert not [key for key, _ in read.attributes if key.startswith("on")]
    assert read.tags["title"] > 1
    assert "alert(1)" in read.words
    assert "{{7*7}}" in page


def test_the_picture_stands_alone():
    for record in (bench_record.record(), spoiled(bench_record.record())):
        root = ElementTree.fromstring(headline_svg(record))
        tags = {item.tag.partition("}")[2] for item in root.iter()}
        assert tags <= {
            "svg", "style", "rect", "g", "title", "desc", "line", "text", "circle", "polygon",
        }  # fmt: skip
        assert float(root.get("width")) > 800
    assert headline_svg(bench_record.bare()) == ""


def contrast(one, two):
    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(two)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_reach_wcag_aa_in_both_themes(theme):
    block = THEME.read_text().split("prefers-color-scheme")[theme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    names = ("ink", "muted", "accent", *(f"c{i}" for i in range(6)))
    for name in names:
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    assert contrast(colours["muted"], colours["panel"]) >= 4.5
    for name in ("warn", "ink"):
        assert contrast(colours[name], colours["warn-paper"]) >= 4.5
