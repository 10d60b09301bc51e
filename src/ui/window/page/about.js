// What is known of a peer, and what can be done about it.

import { get, post } from './api.js';
import { $, ask, button, copy, el, face, iconButton, put, sure, tell, toast } from './dom.js';
import { nameField } from './name.js';
import { friend, isHere, onChange, state } from './state.js';
import { clean } from './text.js';
import { seen, way } from './who.js';
import { examine } from './why.js';
import { exact, since } from './words.js';

// The key of the peer that shows; its safety number; what had the focus before.
let shown = null, number = null, before = null;
let drawn = '';
const set = rule => post('set', { peer: shown, rule }).catch(tell);

async function openAbout() {
  if (shown === state.open) return closeAbout();
  const key = shown = state.open;
  before = document.activeElement;
  number = null;
  draw();
  $('about').querySelector('button').focus();
  const found = await get('safety', { peer: key }).catch(error => [{ number: error.message }]);
  if (shown === key) number = found[0].number, draw();
}

export function closeAbout() {
  if (!shown) return;
  shown = null;
  drawn = '';
  $('about').hidden = true;
  if (document.activeElement === document.body) (before?.isConnected ? before : $('more'))?.focus();
}

function flip(label, isOn, name, on = 'yes') {
  const input = el('input', { type: 'checkbox', role: 'switch', onchange: () => set(`${name}=${input.checked ? on : ''}`) });
  input.checked = isOn;
  return el('label', 'switch', el('span', null, label), input);
}

function draw() {
  const peer = shown && friend(shown), about = $('about');
  if (!peer || shown !== state.open) return closeAbout();
  const stamp = JSON.stringify([peer, number, state.isLive]);
  if (stamp === drawn) return;
  drawn = stamp;
  const controls = () => [...about.querySelectorAll('button,input')], focus = controls().indexOf(document.activeElement);
  about.hidden = false;
  about.setAttribute('aria-label', `About ${peer.name}`);
  put(about, el('header', 'bar', el('h2', null, 'About'), iconButton('close', 'Close', closeAbout)),
    el('div', 'hero', face({ ...peer, here: isHere(peer) }), el('b', { dir: 'auto' }, peer.name),
      el('span', 'quiet small', !state.isLive ? 'not known while egoat has stopped' : peer.here ? `here since ${since(peer.here.time)}` : seen(peer.away)),
      button('link small', 'Rename', () => rename(peer))),
    el('section', null, el('h3', null, 'Safety number'),
      el('p', 'quiet small', `Read it to ${peer.name} on the phone, or side by side. If it is the same on both screens, nobody is in between.`),
      el('div', 'digits', number ?? '…'), flip('Compared, it is the same', peer.verified, 'verified')),
    connection(peer),
    el('section', null, el('h3', null, 'Files and quiet'), flip('Ask before files come', peer.files === 'ask', 'files', 'ask'),
      flip('No notifications', peer.mute, 'mute')),
    el('section', 'stack', button('link small', 'Copy key', () => copy(peer.key)),
      peer.blocked ? button('plain', 'Unblock', () => set('blocked=')) : button('danger', 'Block', () => block(peer)),
      button('danger', 'Remove', () => remove(peer))));
  controls()[focus]?.focus();
}

function connection(peer) {
  const found = el('div', 'stack small'), list = el('dl');
  const look = button('plain', 'Check the connection', () => { look.disabled = true; examine(peer.key, found); });
  const row = (name, words, kind) => words && list.append(el('dt', null, name), el('dd', kind, words));
  row('Now', peer.here ? `${way(peer.here)} (${clean(peer.here.address)})` : 'not connected');
  row('Last try', !peer.here && peer.talk.error && clean(peer.talk.error));
  row('Addresses', peer.addresses.map(clean).join(', ') || 'none: it dials us');
  row('Fingerprint', peer.fingerprint, 'mono');
  row('Seen', peer.away?.time && exact(peer.away.time));
  return el('section', null, el('h3', null, 'Connection'), list, el('div', 'stack wide', look, found));
}

const rename = peer => ask(`Rename ${peer.name}`, box => {
  const save = () => take(async name => { await post('rename', { peer: peer.key, name }); box.close(); });
  const { input, told, save: take } = nameField('You', peer.name, { 'aria-label': 'Name', onkeydown: ({ key }) => key === 'Enter' && save() });
  box.append(el('p', 'quiet', 'The name is for you alone.'), input, told,
    el('div', 'end', button('plain', 'Cancel', () => box.close()), button('main', 'Rename', save)));
  queueMicrotask(() => input.select());
});

async function block(peer) {
  const what = 'Nothing comes from there any more, and nothing goes there, until you unblock. What was said stays.';
  if (await sure(`Block ${peer.name}?`, what, 'Block', 'danger')) set('blocked=yes');
}

async function remove(peer) {
  const waits = peer.talk.messages + peer.talk.transfers > 0 ? ' What waits is not sent.' : '';
  const what = `To talk again, you need to pair again.${waits} What was said stays on this computer.`;
  if (!await sure(`Remove ${peer.name}?`, what, 'Remove', 'danger')) return;
  try {
    await post('remove', { peer: peer.key });
    toast(`${peer.name} is removed`);
    location.hash = '';
  } catch (error) {
    tell(error);
  }
}

addEventListener('about', openAbout);
onChange(() => { if (shown) draw(); });
