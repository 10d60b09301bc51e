// Builds elements. Text goes in by textContent alone, so nothing that a peer wrote is ever parsed as markup.

export const $ = id => document.getElementById(id);

// el('p', 'quiet', 'text'), or el('button', {class, onclick, title, ...}, children). Strings become text nodes.
export function el(tag, props, ...children) {
  const node = document.createElement(tag);
  if (typeof props === 'string') props = { class: props };
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

export const put = (node, ...children) => (node.replaceChildren(...children.flat().filter(Boolean)), node);

const PATHS = {
  add: 'M12 5v14M5 12h14',
  attach: 'M20 11.500l-8 8a5 5 0 0 1-7-7l8.5-8.500a3.3 3.3 0 0 1 4.7 4.700L9.7 17.200a1.6 1.6 0 0 1-2.3-2.300l7.6-7.6',
  away: 'M12 7v5l3.5 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z',
  back: 'M15 5l-7 7 7 7',
  bell: 'M6 9.500a6 6 0 0 1 12 0c0 5.5 2 6.5 2 7.500H4c0-1 2-2 2-7.500zM10 20.500h4',
  block: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM5.7 5.700l12.6 12.6',
  close: 'M6 6l12 12M18 6L6 18',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  done: 'M4.5 12.500l5 5L20 7',
  down: 'M12 5v14M6 13l6 6 6-6',
  file: 'M13 3H7a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2V9zM13 3v6h6',
  folder: 'M3 7a2 2 0 0 1 2-2h4l2 2.500h8a2 2 0 0 1 2 2V17a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z',
  go: 'M10 13.500a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.700l-1.5 1.500M14 10.500a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.700l1.5-1.5',
  invite: 'M10 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3.5 20c0-4 2.9-5.5 6.5-5.500s6.5 1.5 6.5 5.500M19 8v6M16 11h6',
  info: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5.500M12 7.500h.01',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  moves: 'M7 20V5M3 9l4-4 4 4M17 4v15M13 15l4 4 4-4',
  outbox: 'M4 13v5a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2v-5M12 15V4M7.5 8.500L12 4l4.5 4.5',
  save: 'M4 15v3a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2v-3M12 4v11M7.5 10.500L12 15l4.5-4.5',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4',
  send: 'M12 19V5M6 11l6-6 6 6',
  shield: 'M12 3l7 2.500v6c0 4.5-3 7.5-7 9.5-4-2-7-5-7-9.500v-6zM8.8 12l2.4 2.4 4.2-4.6',
  trash: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13',
  warn: 'M12 4L2.5 20h19zM12 10v4.500M12 17.300h.01',
};
const SVG = 'http://www.w3.org/2000/svg';

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  const path = document.createElementNS(SVG, 'path');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'i');
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', PATHS[name]);
  if (name === 'more') path.setAttribute('stroke-width', '2.6');
  svg.append(path);
  return svg;
}

// A button with a picture alone: its name is its label.
export const iconButton = (name, label, onclick, more) =>
  el('button', { type: 'button', class: 'icon', 'aria-label': label, title: label, onclick, ...more }, icon(name));

export const button = (kind, label, onclick, more) =>
  el('button', { type: 'button', class: kind, onclick, ...more }, label);

// The first letter of a name on a colour that belongs to the key, so that it stays when a name changes.
export function face(peer) {
  const first = [...new Intl.Segmenter().segment(peer.name)].find(part => /[\p{L}\p{N}\p{Emoji}]/u.test(part.segment));
  const node = el('span', { class: 'face', 'aria-hidden': 'true' }, (first?.segment ?? '?').toUpperCase(), el('i'));
  let hue = 0;
  for (const letter of peer.key ?? peer.name) hue = (hue * 31 + letter.codePointAt()) % 360;
  node.style.setProperty('--hue', hue);
  if (peer.here) node.classList.add('here');
  return node;
}

export function toast(text, action, run) {
  const node = el('p', null, text);
  if (action) node.append(button('link', action, () => { node.remove(); run(); }));
  $('toasts').append(node);
  while ($('toasts').children.length > 3) $('toasts').firstChild.remove();
  setTimeout(() => node.remove(), action ? 12000 : 5000);
}

// An error as a person reads it, with what to do behind "Why?".
export function tell(error) {
  error.hint ? toast(error.message, 'Why?', () => explain(error.message, error.hint)) : toast(error.message);
}

// A dialog that lives until it is closed; `fill` gets it. Resolves with what closed it.
export function ask(title, fill) {
  const box = el('dialog', { 'aria-labelledby': 'asked' }, el('h2', { id: 'asked', dir: 'auto' }, title));
  fill(box);
  return modal(box);
}

// Shows a dialog until it is closed.
export function modal(box) {
  document.body.append(box);
  box.showModal();
  return new Promise(done => box.addEventListener('close', () => {
    box.remove();
    // Chromium gives the focus back, but at times without a caret, and then what is typed gets lost. Focusing anew helps.
    const at = document.activeElement;
    at.blur();
    at.focus();
    done(box.returnValue);
  }));
}

export const explain = (what, hint) => ask(what, box => box.append(
  el('p', { class: 'quiet', dir: 'auto' }, hint),
  el('div', 'end', button('main', 'Close', () => box.close()))));

// A question with one deed; `true` if the user wants it.
export const sure = async (title, text, deed, kind = 'main') => await ask(title, box => box.append(
  el('p', { class: 'quiet', dir: 'auto' }, text),
  el('div', 'end', button('plain', 'Cancel', () => box.close()), button(kind, deed, () => box.close('yes'))))) === 'yes';

// A menu at a button: rows are [icon, label, deed], or a string that only tells.
export function menu(at, rows) {
  const box = el('div', { class: 'menu', popover: 'auto', role: 'menu' });
  for (const row of rows.filter(Boolean)) {
    box.append(typeof row === 'string' ? el('p', null, row)
      : el('button', { role: 'menuitem', onclick: () => { box.hidePopover(); row[2](); } }, icon(row[0]), row[1]));
  }
  const buttons = [...box.querySelectorAll('button')];
  box.addEventListener('keydown', event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length].focus();
  });
  box.addEventListener('toggle', event => {
    if (event.newState !== 'closed') return;
    at.setAttribute('aria-expanded', 'false');
    if (box.contains(document.activeElement) || document.activeElement === document.body) at.focus();
    box.remove();
  });
  document.body.append(box);
  box.showPopover();
  at.setAttribute('aria-expanded', 'true');
  const place = at.getBoundingClientRect();
  const top = place.bottom + 4 + box.offsetHeight > innerHeight ? place.top - 4 - box.offsetHeight : place.bottom + 4;
  box.style.top = `${Math.max(8, top)}px`;
  box.style.left = `${Math.max(8, Math.min(place.left, innerWidth - box.offsetWidth - 8))}px`;
  buttons[0]?.focus();
}

export async function copy(text, what = 'Copied') {
  try {
    await navigator.clipboard.writeText(text);
    toast(what);
  } catch {
    toast('The browser does not let this page copy. Select the text, and copy it with the keyboard.');
  }
}
