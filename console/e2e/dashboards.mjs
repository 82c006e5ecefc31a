// Every dashboard in a real browser: no panel in error or empty without a reason, no override ignored, drill-downs by clicks.
//
//   node e2e/dashboards.mjs BASE [FOLDER]      pictures of what was checked go to FOLDER
import assert from 'node:assert/strict';
import path from 'node:path';
import { panels, start } from './browser.mjs';

const [base, folder] = process.argv.slice(2);
/** Empty while nothing is wrong. */
const ABOUT_FAULTS = /^(Down and back|Reachability|State of sessions that were down|Firing now|Alerts over time|Longest in range|Alerts by site|Devices with the most)$/;
const listed = await (await fetch(`${base}/api/dashboards`)).json();
assert.equal(listed.length, 14);
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

/** The first link with this text in a table's column, by the page and not by its address. */
async function follow(panelKey, row, text) {
  const cell = page.locator(`[data-viz-panel-key="${panelKey}"]`).getByText(row, { exact: true }).first();
  await cell.click();
  const menu = page.getByRole('menuitem', { name: text });
  if (await menu.count()) await menu.first().click();
  await page.waitForURL(/\/d\//);
  await quiet();
}

const key = async (title) => (await panels(page)).find((panel) => panel.title.startsWith(title)).key;
const value = (name) => new URL(page.url()).searchParams.get(`var-${name}`);

for (const { uid, title } of listed) {
  await open(`/d/${uid}?from=now-3h&to=now`);
  await check(uid);
  assert.ok((await page.title()).startsWith(title));
  if (folder) await page.screenshot({ path: path.join(folder, `${uid}.png`) });
  console.log(`${uid}: ok`);
}

// Device -> its interfaces -> one interface -> its flows.
await open('/d/helios-network-overview?from=now-3h&to=now');
await follow(await key('Devices, worst first'), 'ams1-edge1', 'Its interfaces');
assert.match(page.url(), /\/d\/helios-interface-analytics/);
assert.equal(value('device'), 'ams1-edge1');
await follow(await key('Interfaces'), 'Ethernet1/1', 'Who uses it: its flows');
assert.match(page.url(), /\/d\/helios-top-talkers/);
assert.deepEqual([value('exporter'), value('interface')], ['ams1-edge1', 'Ethernet1/1']);
await check('helios-top-talkers of one interface');
console.log('device -> interface -> flows: ok');

// AS -> its hosts -> one host.
await open('/d/helios-traffic-matrix?from=now-3h&to=now');
await follow(await key('AS to AS'), '15169', 'Hosts of this AS');
assert.equal(value('asn'), '15169');
const senders = await key('Senders');
const host = (await page.locator(`[data-viz-panel-key="${senders}"] a`).first().innerText()).trim();
await follow(senders, host, 'All traffic of this address');
assert.equal(value('address'), host);
const titles = await page.evaluate(() => window.scene.state.$variables.state.variables.find((v) => v.state.name === 'table_all').getValue());
assert.match(String(titles), /^flows/, 'a filter on an address only flows can answer');
console.log('AS -> hosts -> host: ok');

// Light theme.
await open('/d/helios-device-health?theme=light&from=now-3h&to=now');
await check('helios-device-health in light');
assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(244, 245, 245)');
console.log('light theme: ok');
await browser.close();
console.log(`${listed.length} dashboards, ${checked} panels checked`);
