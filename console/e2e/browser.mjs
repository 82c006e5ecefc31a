// A Chromium with the console in it: waits for queries instead of times, and tells what a dashboard really drew.
import { chromium } from 'playwright-core';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const QUERIES_MS_MAX = 300_000;

export async function start(base, { width = 1600, height = 1000 } = {}) {
  const browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: ARGS });
  const page = await browser.newPage({ viewport: { width, height }, timezoneId: 'UTC' });
  const problems = [];
  page.on('pageerror', (error) => problems.push(`exception: ${error.message.slice(0, 300)}`));
  page.on('response', (response) => {
    if (response.status() >= 400) problems.push(`status ${response.status()}: ${response.url().slice(0, 200)}`);
  });
  const open = async (path) => {
    await page.goto(base + path, { waitUntil: 'load' });
    await quiet(page);
  };
  return { browser, page, problems, open, quiet: () => quiet(page) };
}

/** Returns when variables are loaded, all queries have answered, and two frames were drawn. */
export async function quiet(page) {
  await page.waitForFunction(
    () => {
      const scene = window.scene;
      const controller = scene?.state.$behaviors?.find((behavior) => behavior.state && 'isRunning' in behavior.state);
      if (!controller || controller.state.isRunning) return false;
      if (scene.state.$variables.state.variables.some((variable) => variable.state.loading)) return false;
      const panels = scene.state.body.state.children.flatMap((child) => (child.state.children ?? [child]).map((item) => item.state.body)).filter(Boolean);
      return panels.length > 0 && panels.every((panel) => ['Done', 'Error'].includes(panel.state.$data?.state.data?.state));
    },
    null,
    { timeout: QUERIES_MS_MAX, polling: 200 }
  );
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
}

/** Each panel: its state, rows, error, and overrides that no option of its type takes. */
export const panels = (page) =>
  page.evaluate(() =>
    window.scene.state.body.state.children
      .flatMap((child) => (child.state.children ?? [child]).map((item) => item.state.body))
      .filter(Boolean)
      .map((panel) => {
        const data = panel.state.$data?.state.data;
        const registry = panel.getPlugin()?.fieldConfigRegistry;
        const ignored = panel.state.fieldConfig.overrides.flatMap((o) => o.properties.map((p) => p.id)).filter((id) => !registry?.getIfExists(id));
        const unknown = Object.keys(panel.state.fieldConfig.defaults.custom ?? {}).filter((id) => !registry?.list().some((item) => item.isCustom && (item.path === id || item.path.startsWith(`${id}.`))));
        return {
          title: panel.state.title, key: panel.state.key, type: panel.state.pluginId, state: data?.state, error: data?.error?.message ?? panel.state._pluginLoadError,
          rows: data?.series.reduce((sum, frame) => sum + frame.length, 0) ?? 0, fields: data?.series[0]?.fields.map((field) => field.state?.displayName ?? field.name) ?? [], ignored: [...ignored, ...unknown],
        };
      })
  );

/** Texts in panels whose colour differs from the background by less than 1.5 to 1 (WCAG's ratio): black on black, white on white. */
export const faintTexts = (page) =>
  page.evaluate(() => {
    const parts = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
    const luminance = ([r, g, b]) => [0.2126, 0.7152, 0.0722].reduce((sum, share, at) => sum + share * channel([r, g, b][at] / 255), 0);
    const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const background = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const style = getComputedStyle(at);
        // Gradients and transparent colours: what lies below cannot be told.
        if (style.backgroundImage !== 'none') return null;
        const [r, g, b, alpha = 1] = parts(style.backgroundColor);
        if (alpha === 1) return [r, g, b];
        if (alpha > 0) return null;
      }
      return null;
    };
    return [...document.querySelectorAll('[data-viz-panel-key] *')]
      .filter((element) => element.offsetParent && [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim()))
      .flatMap((element) => {
        const below = background(element);
        if (!below) return [];
        const [text, ground] = [parts(getComputedStyle(element).color), below].map(luminance);
        const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
        return ratio < 1.5 ? [`${element.textContent.trim().slice(0, 40)} (${ratio.toFixed(2)})`] : [];
      });
  });
