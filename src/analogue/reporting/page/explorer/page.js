// The page: the list and the pair first, the maps once these are painted.

let maps = null;  // once they are drawn

(async () => {
  const spaces = await Spaces.open(), chosen = { a: -1, b: -1 };
  showAbout(spaces.facts);
  const pair = new PairView(spaces, choose), list = new FeatureList(spaces, choose);

  function choose(rows) {
    for (const side of SIDES) chosen[side] = rows[side] ?? -1;
    // The address holds the pair, so that a link shows the same one.
    const hash = `#${SIDES.filter(side => chosen[side] >= 0).map(side => `${side}=${spaces.feature(side, chosen[side])}`).join("&")}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
    list.mark(chosen);
    maps?.mark(chosen);
    pair.show(chosen);
  }

  function followHash() {
    const asked = new URLSearchParams(location.hash.slice(1)), rows = {};
    for (const side of SIDES) if (asked.has(side)) rows[side] = spaces.rowOf[side].get(Number(asked.get(side))) ?? -1;
    for (const side of SIDES) if ((rows[side] ?? -1) >= 0 && !asked.has(OTHER[side])) rows[OTHER[side]] = spaces.partnerOf(side, rows[side]);
    if (SIDES.some(side => (rows[side] ?? -1) >= 0)) {
      choose(rows);
      return list.scrollToChosen();
    }
    if (asked.has("a") || asked.has("b")) return pair.say(`No feature that fires is called ${location.hash}`);
    if (list.first()) choose(list.first());
  }

  for (const link of document.querySelectorAll(".skip a"))
    link.onclick = event => { event.preventDefault(); byId(link.dataset.to).focus(); };
  window.addEventListener("hashchange", followHash);
  window.addEventListener("resize", () => list.fill());
  followHash();
  document.body.dataset.ready = "true";
  await new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));  // what is there is painted first
  maps = new FeatureMaps(spaces, rows => { choose(rows); list.scrollToChosen(); }, lasso => list.only(lasso));
  maps.mark(chosen);
  await new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
  document.body.dataset.drawn = "true";
})();
