// Ctrl+K: goes to a conversation by a part of its name, and searches what was said, in all conversations or in one. All words
// that are typed must be there, in any order; a word with a capital letter is searched as it is written.

import { get } from './api.js';
import { $, el, face, icon, modal, put } from './dom.js';
import { friend, friends, isHere } from './state.js';
import { clean, marked, places } from './text.js';
import { brief, leaf } from './words.js';

// How long typing may pause before a search begins, in milliseconds.
const PAUSE = 160;
// Hits that are asked for at once.
const SOME = 50;

// A part of the text around the first word that was found, as long as a line.
function around(text, wanted) {
  const flat = clean(text).replace(/\s+/g, ' '), at = places(flat, wanted)[0]?.[0] ?? 0;
  const from = Math.max(0, at - 40);
  return (from > 0 ? '…' : '') + flat.slice(from, from + 160);
}

// Why nothing was found, and what finds more.
const nothing = wanted => `Nothing has “${wanted}”.${/\p{Lu}/u.test(wanted) ? ` Capital letters count: “${wanted.toLowerCase()}” finds both.` : ''}`;

export function openFinder(scope) {
  if ($('finder')?.open) return $('finder').close();
  // It was closed just now, and its removal is still to come.
  $('finder')?.remove();
  const inside = scope && friend(scope);
  const list = el('ul', { role: 'listbox', id: 'hits', 'aria-label': 'Results' });
  const count = el('p', { class: 'hush', role: 'status' });
  const input = el('input', {
    type: 'text', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'hits', autocomplete: 'off', spellcheck: 'false', dir: 'auto',
    placeholder: inside ? `Search what was said with ${inside.name}` : 'Go to somebody, or search what was said',
    'aria-label': inside ? `Search with ${inside.name}` : 'Search',
  });
  const box = el('dialog', { id: 'finder', 'aria-label': 'Search' }, input, list, count);
  // hits: what is shown of `total` records that were found, newest first; null before the search has answered.
  let timer, asked = 0, people = [], hits = null, total = 0, at = 0;

  const go = hash => { box.close(); location.hash = hash; };
  const option = (onclick, ...inner) => el('li', { class: 'hit', role: 'option', onclick }, ...inner);
  const hit = (peer, title, below, when, hash) => option(() => go(hash), face({ ...peer, here: isHere(peer) }), el('span', 'cut', title, below), el('small', null, when));
  const person = (peer, wanted) => hit(peer, el('span', { dir: 'auto' }, marked(peer.name, wanted)), null,
    isHere(peer) ? 'here' : '', `#/${peer.key}`);
  const record = (one, wanted) => hit(friend(one.peer_key) ?? { name: one.peer }, clean(one.peer),
    el('small', { class: 'cut', dir: 'auto' }, marked(around(one.text ?? leaf(one.path), wanted), wanted)),
    brief(one.time), `#/${one.peer_key}/${one.seq}/${encodeURIComponent(wanted)}`);
  const options = () => [...list.querySelectorAll('.hit')];
  const head = words => el('li', { class: 'head', role: 'presentation' }, words);

  function draw() {
    const wanted = input.value.trim(), isPart = hits && hits.length < total;
    const words = hits?.length > 0 ? `${total.toLocaleString('en')} found${isPart ? `, the newest ${hits.length} shown` : ''}` : '';
    const more = isPart && option(() => search(wanted, asked, hits.length), el('span', 'more', 'Show more'));
    put(list,
      people.length > 0 && wanted && head('Conversations'),
      ...people.map(peer => person(peer, wanted)),
      words && head(`Messages and files: ${words}`),
      ...(hits ?? []).map(one => record(one, wanted)), more);
    if (list.children.length === 0) {
      const empty = !wanted ? 'Type some words of what was said.' : hits ? nothing(wanted) : el('span', 'wait');
      put(list, el('li', { class: 'empty', role: 'presentation' }, empty));
    }
    count.textContent = words;
    select(Math.min(at, options().length - 1));
  }

  function select(next) {
    const all = options();
    at = all.length ? (next + all.length) % all.length : 0;
    all.forEach((one, number) => { one.id = `hit${number}`; one.setAttribute('aria-selected', String(number === at)); });
    if (all[at]) input.setAttribute('aria-activedescendant', `hit${at}`), all[at].scrollIntoView({ block: 'nearest' });
    else input.removeAttribute('aria-activedescendant');
  }

  // `skip` of the hits are here already.
  async function search(wanted, mine, skip = 0) {
    const found = await get('search', { text: wanted, peer: scope, limit: SOME, skip }).catch(() => []);
    if (mine !== asked) return;
    total = found.pop()?.total ?? 0;
    // What was said meanwhile moves the others on by one.
    const known = new Set((skip ? hits : []).map(({ peer_key: key, seq }) => key + seq));
    hits = [...(skip ? hits : []), ...found.reverse().filter(({ peer_key: key, seq }) => !known.has(key + seq))];
    draw();
  }

  function typed() {
    const wanted = input.value.trim(), words = wanted.toLowerCase().split(/\s+/);
    const isMeant = ({ name }) => words.every(word => name.toLowerCase().includes(word));
    people = inside ? [] : friends().filter(isMeant).slice(0, wanted ? 6 : 9);
    clearTimeout(timer);
    const mine = ++asked;
    at = 0;
    if (wanted.length < 2) hits = wanted ? [] : null;
    else timer = setTimeout(() => search(wanted, mine), PAUSE), hits = hits?.length ? hits : null;
    draw();
  }

  input.addEventListener('input', typed);
  input.addEventListener('keydown', event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) event.preventDefault(), select(at + step);
    else if (event.key === 'Enter' && !event.isComposing) event.preventDefault(), options()[at]?.click();
  });
  box.addEventListener('click', event => { if (event.target === box) box.close(); });
  modal(box).then(() => { clearTimeout(timer); asked++; });
  typed();
  input.focus();
}

addEventListener('finder', event => openFinder(event.detail));
addEventListener('keydown', event => {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === 'k') event.preventDefault(), openFinder();
});
$('find').prepend(icon('search'));
$('find').addEventListener('click', () => openFinder());
