// Every dashboard in a real browser: no panel in error or empty without a reason, no override ignored, drill-downs by clicks.
//
//   node e2e/dashboards.mjs BASE [FOLDER]      pictures of what was checked go to FOLDER
import assert from 'node:assert/strict';
import path from 'node:path';
import { faintTexts, panels, start } from './browser.mjs';

const [base, folder] = process.argv.slice(2);
/** Empty while nothing is wrong. */
const ABOUT_FAULTS = /^(Down and back|Reachability|State of sessions that were down|Firing now|Alerts over time|Longest in range|Alerts by site|Devices with the most)$/;
const listed = await (await fetch(`${base}/api/dashboards`)).json();
assert.equal(listed.length, 14);
const icon = await (await fetch(`${base}/public/build/img/icons/unicons/angle-double-left.svg`)).text();
assert.match(icon, /<g transform[^>]*><path .*<\/g><\/svg>$/s, 'an icon that the package lacks is the one to the right in the mirror');
const { browser, page, problems, open, quiet } = await start(base, { height: 1300 });
let checked = 0;

async function check(uid) {
  const shown = await panels(page);
  for (const panel of shown) {
    const name = `${uid}: ${panel.title}`;
    assert.equal(panel.state, 'Done', `${name}: ${panel.error}`);
    assert.equal(panel.error, undefined, name);
    assert.deepEqual(panel.ignored, [], `${name}: options that its type does not know`);
    if (!ABOUT_FAULTS.test(panel.title)) assert.ok(panel.rows > 0, `${name} has no rows`);
    checked++;
  }
  assert.deepEqual(problems.splice(0), [], uid);
  return shown;
}

/** Clicks a cell of a table, then `entry` of the menu that opens where the cell has several links. */
async function follow(panelKey, cellText, uid, entry) {
  await page.locator(`[data-viz-panel-key="${panelKey}"]`).getByText(cellText, { exact: true }).first().click();
  if (entry) await page.getByRole('link', { name: entry, exact: true }).or(page.getByRole('button', { name: entry, exact: true })).first().click();
  await page.waitForURL((url) => url.pathname === `/d/${uid}` && [...url.searchParams.values()].includes(cellText), { timeout: 180_000 });
  await quiet();
}

const key = async (title) => (await panels(page)).find((panel) => panel.type === 'table' && panel.title.startsWith(title)).key;
const value = (name) => new URL(page.url()).searchParams.get(`var-${name}`);

/** The panel types of each dashboard. */
const types = new Map();
for (const { uid, title } of listed) {
  await open(`/d/${uid}?from=now-3h&to=now`);
  types.set(uid, new Set((await check(uid)).map((panel) => panel.type)));
  assert.ok((await page.title()).startsWith(title));
  if (folder) await page.screenshot({ path: path.join(folder, `${uid}.png`) });
  console.log(`${uid}: ok`);
}

// Device -> its interfaces -> one interface -> its flows.
await open('/d/helios-network-overview?from=now-3h&to=now');
await follow(await key('Devices, worst first'), 'ams1-edge1', 'helios-interface-analytics', 'Its interfaces');
assert.equal(value('device'), 'ams1-edge1');
await follow(await key('Interfaces'), 'Ethernet1/1', 'helios-top-talkers', 'Who uses it: its flows');
assert.deepEqual([value('exporter'), value('interface')], ['ams1-edge1', 'Ethernet1/1']);
await check('helios-top-talkers of one interface');
console.log('device -> interface -> flows: ok');

// AS -> its hosts -> one host.
await open('/d/helios-traffic-matrix?from=now-3h&to=now');
await follow(await key('AS to AS'), '15169', 'helios-top-talkers', 'Hosts of this AS');
assert.equal(value('asn'), '15169');
const senders = await key('Senders');
const host = (await page.locator(`[data-viz-panel-key="${senders}"] a`).first().innerText()).trim();
await follow(senders, host, 'helios-top-talkers');
assert.equal(value('address'), host);
const titles = await page.evaluate(() => window.scene.state.$variables.state.variables.find((v) => v.state.name === 'table_all').getValue());
assert.match(String(titles), /^flows/, 'a filter on an address only flows can answer');
console.log('AS -> hosts -> host: ok');

// Light theme: dashboards that together have every type of panel.
const seen = new Set();
for (const [uid, used] of types) {
  if ([...used].every((type) => seen.has(type))) continue;
  used.forEach((type) => seen.add(type));
  await open(`/d/${uid}?theme=light&from=now-3h&to=now`);
  await check(`${uid} in light`);
  const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).map(Number));
  assert.ok(Math.min(...ground) > 230, `${uid}: ${ground} is not light`);
  const faint = await faintTexts(page);
  assert.deepEqual(faint, [], `${uid}: texts that cannot be read in light`);
  if (folder) await page.screenshot({ path: path.join(folder, `${uid}-light.png`) });
  console.log(`${uid}: ok in light`);
}
await browser.close();
console.log(`${listed.length} dashboards, ${checked} panels checked`);
