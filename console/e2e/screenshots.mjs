// Pictures of dashboards: node e2e/screenshots.mjs BASE FOLDER [--theme light] [--suffix=-faults] [--height N] [UID ...]
import path from 'node:path';
import { parseArgs } from 'node:util';
import { panels, start } from './browser.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { theme: { type: 'string', default: 'dark' }, suffix: { type: 'string', default: '' }, height: { type: 'string', default: '1000' }, from: { type: 'string', default: 'now-3h' } },
});
const [base, folder, ...only] = positionals;
const listed = await (await fetch(`${base}/api/dashboards`)).json();
const { browser, page, problems, open } = await start(base, { height: Number(values.height) });
for (const { uid } of listed.filter((board) => !only.length || only.includes(board.uid))) {
  await open(`/d/${uid}?theme=${values.theme}&from=${values.from}&to=now`);
  await page.screenshot({ path: path.join(folder, `${uid}${values.suffix}.png`) });
  const failed = (await panels(page)).filter((panel) => panel.state !== 'Done' || panel.error || panel.ignored.length);
  console.log(uid, failed.length ? JSON.stringify(failed) : 'ok', problems.splice(0).join('; '));
}
await browser.close();
