// Runs every *.test.mjs here, or those with a word in their name: node run.mjs files

import { readdirSync } from 'node:fs';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const here = new URL('.', import.meta.url).pathname;
const files = readdirSync(here).filter(name => name.endsWith('.test.mjs') && name.includes(process.argv[2] ?? '')).map(name => here + name);
run({ files, concurrency: 2, timeout: 170000 })
  .on('test:fail', ({ details }) => { if (details.type !== 'suite') process.exitCode = 1; })
  .compose(new spec())
  .pipe(process.stdout);
