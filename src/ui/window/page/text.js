// The text of a message as nodes: code in its own type, links that show where they lead. The characters stay those that were
// sent, back-quotes too, so that what is copied is what was written.

import { ask, button, copy, el } from './dom.js';

// Characters that turn the direction of what follows, or show nothing: a name or a link must not lie with them.
const TRICKS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
export const clean = text => text.replace(TRICKS, '\ufffd');
const cleanText = text => text.replace(/\r\n/g, '\n').replace(TRICKS, at => /[\u200e\u200f]/.test(at) ? at : '\ufffd');

const PARTS = /```[^]*?```\n?|`[^`\n]+`|\bhttps?:\/\/[^\s<>"`]+/g;
const EMOJI = /^(?:\p{Extended_Pictographic}(?:\ufe0f|\p{Emoji_Modifier}|\u200d\p{Extended_Pictographic})*\s*){1,3}$/u;

export const isEmoji = text => EMOJI.test(text);

// What ends a sentence does not belong to the link in it, nor does a bracket that opens before it.
function trimmed(link) {
  let end = link.replace(/[.,;:!?'"*_]+$/, '');
  while (/[)\]}]$/.test(end)) {
    const [open, close] = { ')': '()', ']': '[]', '}': '{}' }[end.at(-1)];
    if (end.split(close).length <= end.split(open).length) break;
    end = end.slice(0, -1).replace(/[.,;:!?'"*_]+$/, '');
  }
  return end;
}

function target(text) {
  try {
    const url = new URL(text);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url : null;
  } catch { return null; }
}

const link = (text, url) => el('a', {
  href: url.href, dir: 'ltr', rel: 'noopener noreferrer', target: '_blank', referrerpolicy: 'no-referrer',
  onclick: event => { event.preventDefault(); leave(url); },
  onauxclick: event => { event.preventDefault(); if (event.button === 1) leave(url); },
}, text);

// Shows the whole target, with its host as the network sees it, before anything opens.
const leave = url => ask('Open this page?', box => box.append(
  el('p', 'copy', url.href),
  el('p', 'quiet', 'It is at ', el('b', null, url.host), url.protocol === 'http:' ? ', and not encrypted.' : '.',
    url.username ? ' The address carries a user name, which often means a trick.' : ''),
  el('div', 'end',
    button('plain', 'Copy link', () => { box.close(); copy(url.href); }),
    button('plain', 'Cancel', () => box.close()),
    button('main', 'Open', () => { box.close(); open(url.href, '_blank', 'noopener,noreferrer'); }))));

// The nodes of a text; `found` marks what was searched for.
export function rich(raw, found) {
  const text = cleanText(raw), nodes = [];
  let from = 0;
  for (const { 0: part, index } of text.matchAll(PARTS)) {
    nodes.push(...marked(text.slice(from, index), found));
    from = index + part.length;
    if (part.startsWith('```')) nodes.push(el('code', 'pre', ticked(part, /^```|```\n?$/g, found)));
    else if (part.startsWith('`')) nodes.push(el('code', null, ticked(part, /^`|`$/g, found)));
    else {
      const address = trimmed(part), url = target(address);
      nodes.push(url ? link(address, url) : address, part.slice(address.length));
    }
  }
  nodes.push(...marked(text.slice(from), found));
  return nodes;
}

// Code with its back-quotes, which are there to be copied and hardly show.
const ticked = (part, ticks, found) => {
  const [open, close] = part.match(ticks);
  return [el('i', null, open), ...marked(part.slice(open.length, part.length - close.length), found), el('i', null, close)];
};

// Where each word of `found` is in the text: in any case, unless the word has a capital letter, as the search itself is.
export function places(text, found) {
  const all = found.split(/\s+/).filter(Boolean).flatMap(word => {
    const pattern = new RegExp(word.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'), /\p{Lu}/u.test(word) ? 'gv' : 'giv');
    return [...text.matchAll(pattern)].map(({ index, 0: part }) => [index, index + part.length]);
  });
  return all.sort(([one], [other]) => one - other);
}

// The text with each word of `found` marked.
export function marked(text, found) {
  if (!found) return text ? [text] : [];
  const nodes = [];
  let from = 0;
  for (const [start, end] of places(text, found)) {
    // One word may be a part of another.
    if (start < from) continue;
    nodes.push(text.slice(from, start), el('mark', null, text.slice(start, end)));
    from = end;
  }
  nodes.push(text.slice(from));
  return nodes.filter(Boolean);
}

// A link for pairing, alone or with words after it, as a whole message is copied.
export const isEgoatLink = text => /^\s*egoat:(?:\S+\s*$|\S+@\S+:\d)/i.test(text);

// Makes a name of any text by the rule of the program, or null if nothing is left.
export function nameOf(text) {
  const mapped = text.trim().replace(/[^\p{Alphabetic}\p{N}\-_.@+]|\p{Default_Ignorable_Code_Point}/gu, '-');
  return [...mapped.replace(/^[-.]+|[-.]+$/g, '')].slice(0, 32).join('').replace(/[-.]+$/, '') || null;
}
