"""The explorer in a browser without a network, with tokens that want to be more than text; screenshots are kept."""

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from analogue.comparison.explorer_page import ExploredSide, explorer_page
from analogue.concepts import FeatureSpace
from analogue.corpus import TextUnits
from analogue.features import FeatureActivations, top_tokens
from analogue.matching import best_partners
from analogue.models import PromotedTokens
from analogue.reporting.explorer import decoder_map, save_explorer
from tests.explorer_pages import PageData
from tests.reporting.test_report import browser, keep  # noqa: F401
from tests.results.samples import sample_result

HOSTILE = [
    "<script>document.title='run'</script>",
    "</script><img src=x onerror=\"document.title='run'\">",
    "<b>bold</b>",
    "&lt;",
    "${data}",
    "\n",
    "\n\n",
    " ",
    "",
    "\t\x00",
    "<0xE2>",
    "\u202ebackwards",
    " שלום",
    "مرحبا",
    "日本語",
    "a" * 90,
]
PLAIN = [f" word{number}" for number in range(40)]
NONE = "\u2013"
N_TOKENS, N_FEATURES = 1500, 60


def made_up_page(folder):
    """60 features of A, of which B has 50 more or less: twice as strong, on four tokens of five."""
    rng = np.random.default_rng(0)
    strings = [*HOSTILE, *PLAIN]
    ids = rng.integers(0, len(strings), N_TOKENS)
    units = TextUnits(ids, dict(enumerate(strings)), np.array([500, 700, 300]))
    dense_a = np.where(
        rng.uniform(size=(N_TOKENS, N_FEATURES)) < 0.03, rng.uniform(0.1, 0.9, (N_TOKENS, N_FEATURES)), 0
    )
    dense_a[:, :56] = np.where(ids[:, None] == np.arange(56), 1 + rng.uniform(size=(N_TOKENS, 56)), dense_a[:, :56])
    dense_a[:, -1] = 0  # dead
    dense_b = np.roll(2 * dense_a * (rng.uniform(size=dense_a.shape) < 0.8), 7, axis=1)
    dense_b[:, :10] = rng.permuted(dense_b[:, :10], axis=0)
    sides = {}
    acts = {"a": FeatureActivations.from_dense(dense_a), "b": FeatureActivations.from_dense(dense_b)}
    found = best_partners(acts["a"], acts["b"], 5, direction="both")
    for label, partners in zip("ab", found, strict=True):
        n_live = np.count_nonzero(acts[label].n_active())
        ranked = rng.normal(size=(n_live, 10)).astype(np.float32)
        tokens = rng.integers(0, len(strings), (n_live, 10))
        lens = PromotedTokens(tokens, np.sort(ranked)[:, ::-1] + 3, tokens[:, ::-1], np.sort(ranked) - 3)
        decoder = rng.normal(size=(N_FEATURES, 8 if label == "a" else 12)) * rng.uniform(0.5, 3, (N_FEATURES, 1))
        space = FeatureSpace(acts[label], top_tokens(acts[label], ids, strings), decoder)
        placed = decoder_map(decoder[acts[label].n_active() > 0][:20])  # a circle, without UMAP
        placed = np.concatenate([placed, placed * 2, placed * 3])[:n_live]
        concepts = np.arange(N_FEATURES)[None] % 9 == np.array([[0], [1]])
        sides[label] = ExploredSide(space, partners, placed, concepts, lens, dict(enumerate(strings)))
    feature_a = sides["a"].live
    feature_b, r = found[0].indices[feature_a, 0], found[0].correlations[feature_a, 0]
    dropped_by = np.where(r < 0.3, "minimum_correlation", np.where(feature_a % 10 == 3, "shared_token", ""))
    q_value = np.where(feature_a % 7 == 0, np.nan, 0.01 * feature_a)
    columns = {"feature_a": feature_a, "feature_b": feature_b, "correlation": r, "p_value": q_value / 2}
    pairs = pa.table(columns | {"q_value": q_value, "dropped_by": dropped_by.tolist()})
    facts = {"concepts": ["First", "<i>Second</i>"], "neuronpedia": ["some-model/3-res", None], "lens": [None, None]}
    page = explorer_page(sides["a"], sides["b"], units, pairs, facts)
    save_explorer(page, replace(sample_result(3, 6), warnings=["<b>careful</b>"]), folder / "explorer.html")
    return folder / "explorer.html"


@pytest.fixture(scope="module")
def dense_path(tmp_path_factory):
    """The page of features for whose examples there is hardly room."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analogue.comparison.explorer_page.EXAMPLE_ENTRIES", 600)
        patch.setattr("analogue.comparison.explorer_page.ENTRIES_PER_FEATURE", 4)
        return made_up_page(tmp_path_factory.mktemp("dense"))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return made_up_page(tmp_path_factory.mktemp("explorer"))


@pytest.fixture(scope="module")
def data(path):
    return PageData(path)


@pytest.fixture
def opened(browser, path):  # noqa: F811
    """Open the page from its file; any error on the console, and any request, fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: request.url.startswith("http") and complaints.append(request.url))
    page.route(re.compile("^http"), lambda route: route.abort())

    def open_page(fragment="", path=path):
        page.goto(path.as_uri() + fragment)
        page.wait_for_selector("body[data-drawn]", timeout=60_000)
        page.wait_for_selector("#pair[data-shown]")
        return page

    yield open_page
    assert complaints == []
    page.close()


def shown(page, fragment):
    page.wait_for_function("fragment => document.getElementById('pair').dataset.shown === fragment", arg=fragment)


def test_a_token_is_searched_and_its_pair_shows_the_data_s_values(opened, data):
    page = opened()
    page.get_by_label("Search").fill("WORD17")
    page.locator("#filters [name=kept]").select_option("")
    feature = 16 + 17
    row = data.row("a", feature)
    pair = int(np.flatnonzero(data.index["pair_a"] == row)[0])
    page.locator(f'#rows .row:has(> span:first-child:text-is("{feature}"))').click()
    partner = data.index["feature_b"][data.index["pair_b"][pair]]
    assert partner == feature + 7  # the made-up partner
    shown(page, f"#a={feature}&b={partner}")
    r, q = data.index["correlation"][pair], data.index["q_value"][pair]
    assert f"correlation {r:.4f}" in page.locator("#pair-facts").inner_text()
    assert f"q {q:.4f}" in page.locator("#pair-facts").inner_text()
    own, other = data.details("a", row), data.details("b", data.index["pair_b"][pair])
    examples = page.locator("#side-a .example")
    positions = [each for each in own["examples"].tolist() if each >= 0]
    assert examples.count() == len(positions) == 12
    for example, position in zip(examples.all(), positions, strict=True):
        units = example.locator(".unit")
        assert units.count() <= 41
        at = example.locator(".at")
        value, below = own["activations"][position], other["activations"].get(position, 0)
        says = re.search(r": A (\S+), B (\S+)$", at.get_attribute("title"))
        assert float(says[1]) == pytest.approx(value, rel=6e-3)
        assert float(says[2]) == pytest.approx(below, rel=6e-3)
    assert f"fires on {data.index['n_active_a'][row]} of 1500 tokens" in page.locator("#side-a").inner_text()
    link = page.locator("#side-a a")
    assert link.get_attribute("href") == f"https://www.neuronpedia.org/some-model/3-res/{feature}"
    assert page.locator("#side-b a").count() == 0
    table = page.locator("#side-a .promoted table").first
    raises = [float(text) for text in table.locator("td.number").all_inner_texts()]
    np.testing.assert_allclose(raises, own["raises"], atol=5e-3)
    keep(page, "explorer")


def test_the_list_sorts_filters_and_follows_the_keys(opened, data):
    page = opened()
    kept = data.index["dropped"] == data.facts["filters"].index("")
    assert page.locator("#count").inner_text() == f"{kept.sum()} of {len(kept)}"
    page.locator("#filters [name=kept]").select_option("by shared_token")
    n_dropped = (data.index["dropped"] == data.facts["filters"].index("shared_token")).sum()
    assert page.locator("#count").inner_text() == f"{n_dropped} of {len(kept)}"
    page.locator("#filters [name=kept]").select_option("kept")
    page.locator("#filters [name=concept]").select_option("1")
    assert 0 < page.locator("#rows .row").count() < kept.sum()
    page.locator("#filters [name=concept]").select_option("")
    page.get_by_label("sort by q", exact=True).click()
    column = [text for text in page.locator("#rows .row > span:nth-child(4)").all_inner_texts() if text != NONE]
    assert [float(text) for text in column] == sorted((float(text) for text in column), reverse=True)
    page.locator("#list").focus()
    page.keyboard.press("Home")
    first = page.evaluate("location.hash")
    shown(page, first)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    second = page.evaluate("location.hash")
    shown(page, second)
    assert second != first
    chosen = page.locator("#rows .row[aria-selected=true]")
    assert page.locator("#list").get_attribute("aria-activedescendant") == chosen.get_attribute("id")


def test_a_link_shows_the_same_pair_and_a_runner_up_can_be_followed(opened, data):
    page = opened("#a=30&b=37")
    shown(page, "#a=30&b=37")
    runner_up = page.locator("#side-a .runners-up button").first
    feature = runner_up.get_attribute("data-feature")
    runner_up.click()
    shown(page, f"#a=30&b={feature}")
    assert "not a pair of this comparison" in page.locator("#pair-facts").inner_text()
    found = data.details("a", data.row("a", 30))
    r = found["partner_correlations"][found["partners"] == data.row("b", int(feature))][0]
    assert f"correlation {r:.4f}" in page.locator("#pair-facts").inner_text()
    nearest = page.locator("#side-b .nearest button").first
    feature = nearest.get_attribute("data-feature")
    nearest.click()
    page.wait_for_function("f => location.hash.endsWith(`b=${f}`)", arg=feature)
    page.evaluate("location.hash = '#b=12'")
    page.wait_for_function("document.querySelector('#side-b h2')?.textContent === 'Feature 12 of B'")
    page.evaluate("location.hash = '#a=59'")  # a dead feature
    page.wait_for_function("document.getElementById('pair').textContent.startsWith('No feature that fires')")


def test_a_lasso_rings_the_partners(opened, data):
    page = opened()
    page.get_by_role("button", name="choose many by drawing a line around them, map of A").click()
    box = page.locator("#map-a canvas").bounding_box()
    x, y, w, h = (box[name] for name in ("x", "y", "width", "height"))
    page.mouse.move(x + 3, y + 3)
    page.mouse.down()
    for across, down in ((0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.01)):
        page.mouse.move(x + across * w, y + down * h, steps=4)
    page.mouse.up()
    page.wait_for_function("document.getElementById('lassoed').textContent !== ''")
    said = page.locator("#lassoed").inner_text()
    n_live = len(data.index["feature_a"])
    kept = data.index["dropped"] == data.facts["filters"].index("")
    n_partners = len(set(data.index["pair_b"][kept].tolist()))
    assert said.startswith(f"{n_live} features of A chosen, {n_partners} partners of B are ringed")
    keep(page, "explorer_lasso")
    page.get_by_role("button", name="show all again").click()
    assert page.locator("#lassoed").inner_text() == ""
    assert page.locator("#join line").count() == 1


def test_features_without_a_partner_are_listed_by_their_firing_counts(opened, data):
    page = opened()
    page.get_by_role("button", name="B without a partner").click()
    kept = data.index["dropped"] == data.facts["filters"].index("")
    n_alone = len(data.index["feature_b"]) - len(set(data.index["pair_b"][kept].tolist()))
    assert page.locator("#count").inner_text() == f"{n_alone} of {n_alone}"
    fires = [int(text) for text in page.locator("#rows .row > span:nth-child(2)").all_inner_texts()]
    assert fires == sorted(fires, reverse=True)
    page.locator("#rows .row").first.click()
    page.wait_for_function("document.querySelectorAll('#side-b .example').length >= 10")


def test_hostile_tokens_are_shown_as_text(opened):
    page, signs = opened(), {"\n": "↵", "\t": "⇥", "\x00": "␀", "\u202e": "<U+202E>"}
    for feature, token in enumerate(HOSTILE):
        page.evaluate("feature => { location.hash = `#a=${feature}` }", feature)
        page.wait_for_function(
            "feature => document.querySelector('#side-a h2')?.textContent === `Feature ${feature} of A`", arg=feature
        )
        visible = "".join(signs.get(each, each) for each in token) or "∅"
        assert page.locator("#side-a .example .at").first.text_content() == visible
        assert page.title().startswith("Features of")
        assert page.locator("#side-a .example b, #side-a img, #pair script").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        if feature in (0, 13):
            keep(page, f"explorer_hostile_{feature}")


def test_a_telephone_shows_the_list_then_the_pair(opened):
    page = opened()
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
    browse, pair = (page.locator(each).bounding_box() for each in ("#browse", "#pair"))
    assert browse["y"] + browse["height"] <= pair["y"]
    keep(page, "explorer_narrow")


def test_what_a_page_has_no_room_for_is_said(opened, data, dense_path):
    page, small = opened("#a=30&b=37", dense_path), PageData(dense_path)
    assert dense_path.stat().st_size < 0.9 * len(data.text)
    found = small.details("b", small.row("b", 37))
    reach = int(found["reach"])
    assert reach < 20
    assert small.row("a", 30) in found["beside"]
    line = f"Activations of B are shown up to {reach} tokens from the one in the frame."
    assert line in page.locator("#side-a .missing").inner_text()
    titles = page.locator("#side-a .example").first.locator(".unit").evaluate_all("units => units.map(u => u.title)")
    position = int(small.details("a", small.row("a", 30))["examples"][0])
    own, other = (data.details(side, data.row(side, feature)) for side, feature in (("a", 30), ("b", 37)))
    for at, title in zip(
        page.locator("#side-a .example").first.locator(".unit").evaluate_all("us => us.map(u => +u.dataset.at)"),
        titles,
        strict=True,
    ):
        for name, full in (("A", own), ("B", other)):
            says = re.search(rf"\b{name} ([^,]+)(,|$)", title.rsplit(": ", 1)[1])[1]
            if says == "not on this page":
                assert abs(at - position) > int(
                    small.details(name.lower(), small.row(name.lower(), 30 if name == "A" else 37))["reach"]
                )
            else:
                assert float(says) == pytest.approx(full["activations"].get(at, 0), rel=6e-3)
    page.evaluate("location.hash = '#a=30&b=20'")
    shown(page, "#a=30&b=20")
    assert "Activations of B beside these examples are not on this page" in page.locator("#side-a").inner_text()


def test_a_map_is_zoomed_moved_and_clicked(opened, data):
    page = opened()
    canvas = page.locator("#map-b canvas")
    box = canvas.bounding_box()
    row = 11

    def at():
        x, y = page.evaluate(f"maps.maps.b.position({row})")
        return box["x"] + x, box["y"] + y

    page.mouse.move(*at())
    named = f"B {data.index['feature_b'][row]}"
    page.wait_for_function("named => document.getElementById('tip').textContent.startsWith(named)", arg=named)
    before = at()
    page.mouse.wheel(0, -300)
    page.wait_for_function("maps.maps.b.zoom > 1.3")
    assert at() == pytest.approx(before, abs=1)  # the pointer stays where it is
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    assert at()[0] == pytest.approx(before[0] + 40, abs=1)
    page.mouse.click(*at())
    page.wait_for_function("f => location.hash.endsWith(`b=${f}`)", arg=int(data.index["feature_b"][row]))
    page.wait_for_function("document.querySelectorAll('#join line').length === 1")
    page.keyboard.press("0")
    assert page.evaluate("maps.maps.b.zoom") == 1


def test_the_page_is_used_by_keyboard_alone(opened, data):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "to the list"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "list"
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "pair"
    page.wait_for_function("document.getElementById('pair').dataset.shown === location.hash")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Neuronpedia"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "example"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    first = page.locator(".read-out").inner_text()
    assert re.search(r": A \S+, B \S+$", first)
    assert page.locator(".unit.read").get_attribute("title") == first
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "list"


def test_everything_that_can_be_operated_has_a_name(opened):
    page = opened()
    for role in ("button", "combobox", "searchbox", "spinbutton", "listbox", "option", "link", "application", "img"):
        found = page.get_by_role(role)
        named = page.get_by_role(role, name=re.compile(r"\S"))
        assert 0 < found.count() == named.count(), role


def test_concepts_have_colours_on_demand(opened):
    page = opened()
    page.get_by_label("Colour by").select_option("concept")
    assert page.locator("#legend .sign").all_inner_texts() == [" First", " <i>Second</i>", " no partner"]
    keep(page, "explorer_concepts")
    page.locator("summary", has_text="What was compared").click()
    assert "! <b>careful</b>" in page.locator("#about").inner_text()
