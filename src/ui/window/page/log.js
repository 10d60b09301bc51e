// The scrolling part of a conversation: shows rows by their keys, touches only what changed, and keeps the eye where it is.

import { $ } from './dom.js';

const log = $('log');
// So near to the end counts as the end, in pixels.
const NEAR = 40;
// The view follows the end; else it stays at `anchor`, a row and where its top was.
let follows = true;
let anchor = null;
let places = [];
let shown = new Map();

export const isAtEnd = () => follows;
export const follow = yes => { follows = yes; };

const atBottom = () => log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
const topOf = node => node.getBoundingClientRect().top - log.getBoundingClientRect().top;

function settle() {
  if (follows) log.scrollTop = log.scrollHeight;
  else if (anchor?.node.isConnected) log.scrollTop += topOf(anchor.node) - anchor.top;
}

function setAnchor() {
  const node = [...log.children].find(child => child.dataset.key && topOf(child) + child.offsetHeight > 0);
  anchor = node ? { node, top: topOf(node) } : null;
}

log.addEventListener('scroll', () => {
  follows = atBottom();
  setAnchor();
  for (const hear of places) hear();
}, { passive: true });

// Calls `hear` when what is on the screen has changed.
export const onScroll = hear => places.push(hear);

// The box changes with the window, with what is written and with the keyboard of a phone; the rows with the type size.
const sizes = new ResizeObserver(settle);
sizes.observe(log);

// Shows `rows`: {key, stamp, make, data}. A row with the same key and stamp stays as it is.
export function show(rows) {
  const before = shown, active = document.activeElement, focused = log.contains(active) && active.closest('[data-key]')?.dataset.key;
  shown = new Map();
  let at = log.firstElementChild;
  for (const row of rows) {
    const old = before.get(row.key);
    let node = old?.node;
    if (!node || old.stamp !== row.stamp && !node.update) {
      const fresh = row.make();
      fresh.dataset.key = row.key;
      if (node) {
        if (at === node) at = fresh;
        if (anchor?.node === node) anchor.node = fresh;
        node.replaceWith(fresh);
      }
      node = fresh;
    } else if (old.stamp !== row.stamp) node.update(row.data);
    if (node === at) at = at.nextElementSibling;
    else log.insertBefore(node, at);
    shown.set(row.key, { node, stamp: row.stamp });
  }
  // A message that comes in comes softly; a page of them does not.
  const added = rows.filter(({ key }) => !before.has(key));
  if (follows && added.length < 4 && before.size > 1) added.forEach(({ key }) => shown.get(key).node.classList.add('in'));
  while (at) { const next = at.nextElementSibling; at.remove(); at = next; }
  settle();
  if (focused && !log.contains(document.activeElement)) (shown.get(focused)?.node ?? log).focus({ preventScroll: true });
}

// Goes to a row, its top a third below that of the view. Returns it, or null.
export function goTo(key, focus) {
  const node = shown.get(key)?.node;
  if (!node) return null;
  follows = false;
  log.scrollTop += topOf(node) - log.clientHeight / 3;
  follows = atBottom();
  setAnchor();
  if (focus) node.focus({ preventScroll: true });
  return node;
}

export function goToEnd() {
  follows = true;
  settle();
}

export function isOnScreen(key) {
  const node = shown.get(key)?.node;
  return Boolean(node) && topOf(node) + 30 < log.clientHeight && topOf(node) + node.offsetHeight > 0;
}

// The keys of the rows that are on the screen, the lowest first.
export function* visible() {
  for (let node = log.lastElementChild; node; node = node.previousElementSibling) {
    const top = topOf(node);
    if (top + node.offsetHeight < 0) return;
    if (top < log.clientHeight - 10 && node.dataset.key) yield node.dataset.key;
  }
}

export const isNearTop = () => log.scrollTop < 600;
export const isNearEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 600;

// What is copied of one message is what was sent: a browser adds line breaks around code.
log.addEventListener('copy', event => {
  const chosen = getSelection();
  if (chosen.rangeCount !== 1) return;
  const range = chosen.getRangeAt(0), within = range.commonAncestorContainer;
  if (!(within.closest ? within : within.parentElement).closest('.say')) return;
  event.clipboardData.setData('text/plain', range.toString());
  event.preventDefault();
});

// With the arrow keys the focus goes from message to message, Enter opens what can be done with one.
log.addEventListener('keydown', event => {
  const rows = [...log.querySelectorAll('.msg')], now = document.activeElement.closest('.msg');
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (step && (now || step < 0) && !event.altKey && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    const next = now ? rows[rows.indexOf(now) + step] : rows.at(-1);
    if (next) next.focus({ preventScroll: true }), next.scrollIntoView({ block: 'nearest' });
    else if (step > 0) log.focus();
  } else if (event.key === 'Enter' && document.activeElement === now) {
    event.preventDefault();
    now.more?.();
  } else if (event.key === 'End') goToEnd();
});
