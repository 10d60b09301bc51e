// Draws the eye of somebody who looks elsewhere: counts in the title and the icon, and notifications.

import { $, toast } from './dom.js';
import { change, friend, keyOf, onChange, state } from './state.js';
import { clean } from './text.js';
import { leaf, plural } from './words.js';

const WANTED = 'egoat.notify';
export const wantsNotes = () => localStorage.getItem(WANTED) === 'yes' && globalThis.Notification?.permission === 'granted';

export async function toggleNotes() {
  if (wantsNotes()) localStorage.removeItem(WANTED);
  else if (!globalThis.Notification) toast('This browser has no notifications.');
  else if (await Notification.requestPermission() === 'granted') localStorage.setItem(WANTED, 'yes');
  else toast('The browser blocks notifications of this page. Its settings, left of the address, can allow them.');
  change('notes');
}

// The highest record and the last offer that were told, so that nothing is told twice. `null` until the state is known.
let told = null;
const offers = new Set();

const isLookedAt = key => document.visibilityState === 'visible' && document.hasFocus() && state.open === key;

function note(key, title, body, tag) {
  if (!wantsNotes() || isLookedAt(key)) return;
  // Several tabs tell the same, and the tag makes one of it.
  const shown = new Notification(title, { body, tag, icon: 'icon.svg' });
  shown.onclick = () => { focus(); location.hash = `#/${key}`; shown.close(); };
}

function tellNews() {
  const before = told;
  told = new Map([...state.conversation].map(([key, talk]) => [key, talk.last ?? -1]));
  if (!before) return;
  for (const [key, talk] of state.conversation) {
    const peer = friend(key), file = talk.last_event === 'file-received';
    if (!talk.unread || talk.last <= (before.get(key) ?? -1) || peer.mute || peer.blocked) continue;
    const words = file ? `Sent ${clean(leaf(talk.line))}` : clean(talk.line ?? '');
    if (file || talk.last_event === 'received') note(key, peer.name, words, `egoat ${key}`);
  }
}

function tellOffers() {
  for (const [number, one] of state.offer) {
    if (offers.has(number)) continue;
    offers.add(number);
    const peer = [...state.peer.values()].find(({ peer, key }) => key === one.peer_key || peer === one.peer);
    if (peer && !peer.mute) note(peer.key, clean(peer.peer), `Wants to send ${clean(one.title)}`, `egoat offer ${number}`);
  }
}

let drawn = -1;
function count() {
  const loud = [...state.conversation.values()].filter(({ key }) => !state.peer.get(key)?.mute);
  const asks = [...state.offer.values()].filter(one => !state.peer.get(keyOf(one))?.mute);
  const files = asks.reduce((sum, one) => sum + one.files, 0);
  const sum = loud.reduce((sum, { unread }) => sum + (unread ?? 0), asks.length);
  const name = state.open && friend(state.open)?.name;
  document.title = `${sum ? `(${sum > 998 ? '999+' : sum}) ` : ''}${files ? `${plural(files, 'file')} to accept – ` : ''}${name ? `${name} – ` : ''}egoat`;
  if (sum !== drawn) drawn = sum, drawIcon(sum);
}

const picture = new Image();
let made;
// Draws the count onto the icon. The image has its own address, which the policy of the page allows.
async function drawIcon(sum) {
  if (sum === 0) { $('icon').href = 'icon.svg'; return; }
  if (!picture.src) picture.src = 'icon.svg';
  await picture.decode();
  const canvas = document.createElement('canvas'), draw = canvas.getContext('2d');
  canvas.width = canvas.height = 64;
  draw.drawImage(picture, 0, 0, 64, 64);
  draw.fillStyle = '#d3382c';
  draw.beginPath();
  draw.arc(42, 42, 22, 0, 7);
  draw.fill();
  draw.fillStyle = '#fff';
  draw.font = `700 ${sum > 9 ? 24 : 32}px system-ui`;
  draw.textAlign = 'center';
  draw.textBaseline = 'middle';
  draw.fillText(sum > 99 ? '99' : sum, 42, 44);
  canvas.toBlob(blob => {
    if (sum !== drawn || !blob) return;
    if (made) URL.revokeObjectURL(made);
    $('icon').type = 'image/png';
    $('icon').href = made = URL.createObjectURL(blob);
  });
}

onChange(() => {
  if (!state.isLive) return;
  tellNews();
  tellOffers();
  count();
});
