// Files for a peer: dropped, pasted or chosen, shown with names and sizes before anything is sent, then put up to the program,
// which makes one job of them. From then on the node sends them, and this page may close.

import { post, upload } from './api.js';
import { $, button, el, icon, iconButton, menu, put, sure, toast } from './dom.js';
import { change, friend, state } from './state.js';
import { clean } from './text.js';
import { plural, size } from './words.js';

// How many files are put up at the same time: a browser has six connections for everything.
const AT_ONCE = 2;
// What is in the tray, for the peer `to`: {file, path}, or {path} of an empty directory.
let tray, chosen = [], to = null;
const running = new Set();
export const uploads = key => [...running].filter(({ peer }) => peer === key);

function input(more) {
  const pathOf = file => file.webkitRelativePath || file.name;
  const take = () => { add([...node.files].map(file => ({ file, path: pathOf(file) }))); node.value = ''; };
  const node = el('input', { type: 'file', multiple: true, hidden: true, 'aria-label': 'Files', onchange: take, ...more });
  document.body.append(node);
  return node;
}
const someFiles = input(), someFolder = input({ webkitdirectory: true });
export const pick = at => menu(at, [['file', 'Files…', () => someFiles.click()], ['folder', 'A folder…', () => someFolder.click()]]);

// Everything in a drop or a paste. The entries must be asked for at once: the browser forgets them with the event.
export async function take(data) {
  const items = [...data.items].filter(({ kind }) => kind === 'file');
  const entries = items.map(item => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter(Boolean), found = [];
  for (const entry of entries) entry instanceof File ? found.push({ file: entry, path: entry.name }) : await walk(entry, entry.name, found);
  add(found);
}

async function walk(entry, path, found) {
  if (entry.isFile) {
    const file = await new Promise((done, fail) => entry.file(done, fail)).catch(() => null);
    return file ? found.push({ file, path }) : toast(`${clean(path)} cannot be read, and is left out.`);
  }
  const reader = entry.createReader(), inside = [];
  // It gives a hundred at a time.
  for (let some; (some = await new Promise(done => reader.readEntries(done, () => done([])))).length > 0;) inside.push(...some);
  if (inside.length === 0) found.push({ path });
  for (const one of inside) await walk(one, `${path}/${one.name}`, found);
}

function add(found) {
  if (!state.open) return;
  if (to !== state.open) chosen = [];
  to = state.open;
  chosen.push(...found);
  show();
}

const topOf = ({ path }) => path.split('/')[0];

// One for each thing that was dropped: a folder with what is in it, or a file.
function tops() {
  const all = new Map();
  for (const one of chosen) {
    const name = topOf(one), top = all.get(name) ?? { name, files: 0, bytes: 0 };
    if (one.path !== name || !one.file) top.isFolder = true;
    if (one.file) top.files++, top.bytes += one.file.size;
    all.set(name, top);
  }
  return [...all.values()];
}

function clear() {
  chosen = [];
  put(tray);
}

function show() {
  const list = tops(), sum = name => list.reduce((sum, top) => sum + top[name], 0);
  if (list.length === 0) return put(tray);
  const { name } = friend(to);
  const remove = top => { chosen = chosen.filter(one => topOf(one) !== top.name); show(); };
  const send = () => { const files = chosen; clear(); start(to, files, list); };
  const go = button('main', `Send ${list.length === 1 ? '' : `all ${list.length} `}to ${name}`, send);
  put(tray, el('div', { class: 'tray', role: 'group', 'aria-label': 'Files to send' },
    el('ul', null, list.map(top => el('li', null, icon(top.isFolder ? 'folder' : 'file'),
      el('span', { class: 'cut grow', dir: 'auto', title: clean(top.name) }, clean(top.name)),
      el('span', 'quiet small', `${top.isFolder ? `${plural(top.files, 'file')}, ` : ''}${size(top.bytes)}`),
      iconButton('close', `Leave out ${clean(top.name)}`, () => remove(top))))),
    el('div', 'row', el('span', 'grow quiet small', `${plural(sum('files'), 'file')}, ${size(sum('bytes'))}`),
      button('plain', 'Cancel', clear), go)));
  go.focus();
}

async function start(peer, chosen, list) {
  const abort = new AbortController(), files = chosen.filter(({ file }) => file), dirs = chosen.filter(({ file }) => !file);
  const end = () => { running.delete(one); change('upload', 'conversation', peer); };
  const one = {
    id: crypto.randomUUID(), peer, bytes: 0, total: files.reduce((sum, { file }) => sum + file.size, 0),
    title: list.length === 1 ? list[0].name : `${list[0].name} and ${plural(list.length - 1, 'other')}`,
    stop: () => { abort.abort(); end(); },
  };
  running.add(one);
  change('upload');
  let id;
  try {
    ({ id } = await post('upload'));
    await putUp(id, files, one, abort.signal);
    await post('commit', [['id', id], ['peer', peer],
      ...files.flatMap(({ file, path }, number) => [['file', path], ['number', number], ['size', file.size], ['time', file.lastModified]]),
      ...dirs.map(({ path }) => ['dir', path])]);
  } catch (error) {
    if (id) post('discard', { id }).catch(() => {});
    if (error.name !== 'AbortError') again(one.title, error, () => start(peer, chosen, list));
  }
  end();
}

async function putUp(id, files, one, signal) {
  const sent = files.map(() => 0);
  let next = 0, drawn = 0;
  const count = (number, bytes) => {
    sent[number] = bytes;
    if (performance.now() - drawn < 100) return;
    drawn = performance.now();
    one.bytes = sent.reduce((sum, bytes) => sum + bytes, 0);
    change('upload');
  };
  const worker = async () => {
    for (let number; (number = next++) < files.length;) {
      signal.throwIfAborted();
      const { file } = files[number];
      await upload(id, number, file, bytes => count(number, bytes), signal);
      count(number, file.size);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function again(title, error, start) {
  const why = error.http === 0 ? 'egoat did not answer, or a file changed or went away while it was read.' : `${error.message} ${error.hint ?? ''}`;
  if (await sure(`${title} is not sent`, why, 'Try again')) start();
}

// Takes what is dropped anywhere, while a conversation is open; the tray lies in `where`.
export function drop(where) {
  tray = where;
  const zone = $('drop'), hasFiles = event => event.dataTransfer?.types.includes('Files');
  addEventListener('dragover', event => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    const peer = friend(state.open);
    event.dataTransfer.dropEffect = peer ? 'copy' : 'none';
    zone.firstChild.textContent = peer ? `Drop to send to ${peer.name}` : 'Open a conversation first';
    zone.hidden = false;
  });
  addEventListener('dragleave', event => { if (!event.relatedTarget) zone.hidden = true; });
  addEventListener('drop', event => {
    zone.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    take(event.dataTransfer);
  });
  addEventListener('beforeunload', event => { if (running.size > 0) event.preventDefault(); });
}

// What is in the tray belongs to the conversation that it was dropped on.
export const leaveTray = () => to === state.open ? show() : clear();
