// How to bring egoat back once its process has ended: the command, with a button that copies it. The program tells the command
// while it runs; the page keeps it, because it is needed when nobody answers.

import { button, copy, el } from './dom.js';

const KEPT = 'egoat.command';

export const remember = command => { if (command) localStorage.setItem(KEPT, command); };
const command = () => localStorage.getItem(KEPT) ?? 'egoat window';

// For who does not know how: the command in a fold.
export const how = () => el('details', 'how', el('summary', null, 'How?'), el('p', null, 'Type in a terminal:'), copyLine());

// A line to be copied, with its button; without `line`, the command of this window.
export const copyLine = (line = command()) => el('span', 'cmd',
  el('code', { tabindex: '0', dir: 'ltr' }, line), button('plain', 'Copy', () => copy(line, 'Copied'), { 'aria-label': `Copy ${line}` }));
