// The on-call page in a real browser, over a running demo: what a person does at three at night, with and without
// JavaScript, by keyboard, on a phone, in the dark. Pictures go to the folder in PICTURES, where one is named.
//
// usage: node page.mjs PROGRAM, where PROGRAM is the geophone to run; CHROMIUM names another browser.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const program = process.argv[2] ?? 'target/debug/geophone';
const pictures = process.env.PICTURES;
if (pictures) mkdirSync(pictures, { recursive: true });
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const passed = (what) => console.log(`ok   ${what}`);

const startDemo = () => new Promise((resolve, reject) => {
  const demo = spawn(program, ['demo', '--seed', '7'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  demo.stderr.on('data', (data) => {
    said += data;
    const page = said.match(/http:\/\/127\.0\.0\.1:\d+/)?.[0];
    const token = said.match(/its token is (\S+)/)?.[1];
    if (page && token) resolve({ demo, base: page, token });
  });
  demo.on('exit', (code) => reject(new Error(`the demo ended with ${code}: ${said}`)));
});

const violations = async (page) => {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.filter((one) => ['serious', 'critical'].includes(one.impact)).map((one) => `${one.id}: ${one.help} (${one.nodes[0].html})`);
};

const { demo, base, token } = await startDemo();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  // axe is put into the page by the test; the page's own policy would not let it.
  const checked = await browser.newContext({ bypassCSP: true, viewport: { width: 1200, height: 900 } });
  const page = await checked.newPage();
  const picture = async (name, options = {}) => pictures && page.screenshot({ path: join(pictures, `${name}.png`), ...options });
  await page.goto(base);
  await page.waitForFunction(() => document.getElementById('live').textContent === 'live');
  passed('the page says that it is live');

  await page.waitForSelector('.incidents > li', { timeout: 120_000 });
  const before = await page.locator('.incidents > li').count();
  await page.waitForFunction((before) => document.querySelectorAll('.incidents > li').length > before, before, { timeout: 120_000 });
  passed('further incidents appear without a reload');
  await page.waitForFunction(() => document.querySelectorAll('.incidents > li').length >= 4, null, { timeout: 120_000 });
  assert.deepEqual(await violations(page), []);
  await picture('incidents');
  passed('axe finds nothing serious on the overview');

  await page.locator('.incidents h2 a').first().focus();
  await page.keyboard.press('Enter');
  await page.waitForSelector('.story > li');
  assert.ok(await page.locator('.story details[open] table tr').count() >= 6, 'evidence');
  assert.ok(await page.locator('h2:has-text("What to do") + ol > li').count() >= 2, 'steps');
  assert.deepEqual(await violations(page), []);
  await picture('incident', { fullPage: true });
  passed('an incident opens by keyboard, with story, evidence and steps');

  const incident = page.url();
  await page.locator('summary:has-text("All of it as text")').first().click();
  assert.match(await page.locator('.story pre').first().textContent(), /how it went/);
  await page.locator('a[href^="/events/"]').first().click();
  await page.waitForSelector('main pre');
  const record = JSON.parse(await page.textContent('main pre'));
  assert.ok(record.eventID && record.userIdentity, 'a CloudTrail record');
  assert.deepEqual(await violations(page), []);
  await picture('event');
  passed('the record behind an alert is shown as CloudTrail wrote it');

  await page.goto(incident);
  await page.fill('form[action$="/acknowledge"] input[name=author]', 'dana <script>window.owned = true</script>');
  await page.fill('form[action$="/acknowledge"] input[name=remark]', 'calling them');
  await page.fill('form[action$="/acknowledge"] input[name=token]', token);
  await page.click('form[action$="/acknowledge"] button');
  await page.waitForURL(incident);
  await page.waitForFunction(() => document.querySelector('#story .quiet') || location.reload(), null, { timeout: 20_000, polling: 1_500 });
  assert.match(await page.textContent('#story .quiet'), /in hand of dana <script>.*: calling them/);
  assert.equal(await page.evaluate(() => globalThis.owned), undefined);
  passed('an incident is taken in hand, and a script in the name is text');

  await page.fill('input[name=reason]', 'a planned test <script>window.owned = true</script>');
  await page.fill('form[action="/silences"] input[name=author]', 'dana');
  await page.fill('form[action="/silences"] input[name=token]', 'not the token');
  await page.click('form[action="/silences"] button');
  assert.match(await page.textContent('main'), /token is missing or wrong/);
  await page.goto(incident);
  await page.fill('input[name=reason]', 'a planned test <script>window.owned = true</script>');
  await page.fill('form[action="/silences"] input[name=author]', 'dana');
  await page.fill('form[action="/silences"] input[name=token]', token);
  await page.click('form[action="/silences"] button');
  await page.waitForURL(`${base}/silences`);
  await page.waitForFunction(() => document.querySelectorAll('#silences tbody tr').length > 0 || location.reload(), null, { timeout: 20_000, polling: 1_500 });
  assert.match(await page.textContent('#silences'), /<script>window\.owned = true<\/script>/);
  assert.equal(await page.evaluate(() => globalThis.owned), undefined);
  assert.deepEqual(await violations(page), []);
  await picture('silences');
  passed('a silence needs the token, and a script in its reason is text');
  await page.fill('#silences input[name=token]', token);
  await page.click('#silences button');
  await page.waitForFunction(() => document.querySelector('#silences .calm') || location.reload(), null, { timeout: 20_000, polling: 1_500 });
  passed('a silence is lifted');

  await page.goto(`${base}/departments`);
  assert.ok(await page.locator('.matrix tbody tr').count() >= 5);
  assert.deepEqual(await violations(page), []);
  await picture('departments');
  passed('departments and models stand side by side');

  await page.goto(`${base}/fleet`);
  assert.ok(await page.locator('main table').count() >= 3, 'shards, attribution, tables');
  assert.match(await page.textContent('main'), /at its end|behind/);
  assert.deepEqual(await violations(page), []);
  await picture('fleet');
  passed('the fleet page tells shards, attribution and tables');

  await page.goto(base);
  const found = await page.evaluate(async () => {
    const lines = (await (await fetch('/api/v1/alerts')).text()).trim().split('\n').map((line) => JSON.parse(line));
    const one = lines.find((line) => line.detector === 'invocation-spike') ?? lines.find((line) => line.actor.kind === 'person');
    return `${one.actor.kind}:${one.actor.key}`;
  });
  await page.goto(`${base}/actor`);
  await page.fill('input[name=key]', found);
  await page.keyboard.press('Enter');
  await page.waitForSelector('#portrait .plot');
  assert.ok(await page.locator('#portrait .plot').count() >= 3, 'four weeks, the day, what is expected');
  assert.deepEqual(await violations(page), []);
  await picture('actor', { fullPage: true });
  passed('an actor is found, with four weeks and what its baseline expects');

  const strict = await (await browser.newContext()).newPage();
  const refused = [];
  strict.on('console', (message) => { if (message.type() === 'error') refused.push(message.text()); });
  const answer = await strict.goto(base);
  await strict.waitForFunction(() => document.getElementById('live').textContent === 'live');
  assert.deepEqual(refused, []);
  assert.match(answer.headers()['content-security-policy'], /default-src 'none'.*script-src 'self'/);
  assert.equal(answer.headers()['set-cookie'], undefined);
  passed('nothing breaks the page\'s own policy, and there is no cookie');

  const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  await plain.goto(base);
  assert.ok(await plain.locator('.incidents > li').count() >= 4);
  await plain.click('.incidents h2 a >> nth=0');
  assert.ok(await plain.locator('.story > li').count() >= 1);
  passed('the page works without JavaScript');

  const phone = await browser.newContext({ bypassCSP: true, viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
  const small = await phone.newPage();
  for (const [name, path] of [['incidents', ''], ['departments', '/departments'], ['fleet', '/fleet'], ['actor', `/actor?key=${encodeURIComponent(found)}`], ['incident', new URL(incident).pathname]]) {
    await small.goto(base + path);
    const overflow = await small.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(overflow <= 1, `${name} is ${overflow} px too wide`);
    assert.deepEqual(await violations(small), []);
    if (pictures && name === 'incidents') await small.screenshot({ path: join(pictures, 'phone-dark.png') });
  }
  passed('it fits a phone, in the dark');
} finally {
  await browser.close();
  demo.removeAllListeners('exit');
  demo.kill('SIGTERM');
}
