// Begins: gets a session, follows the state, and shows what the address asks for.

import { enter, onOver } from './api.js';
import { closeAbout } from './about.js';
import { leaveTray } from './files.js';
import './attention.js';
import { copyLine, how, remember } from './back.js';
import './finder.js';
import { $, button, el, icon, put } from './dom.js';
import { drawSide } from './list.js';
import { closePlace, openPlace } from './places.js';
import * as sending from './sending.js';
import * as start from './start.js';
import { follow, friend, friends, onChange, state } from './state.js';
import { clean } from './text.js';
import { closeTalk, openTalk } from './talk.js';
import { forgetDraft, showDraft } from './write.js';
import { invite, join } from './add.js';

// The user has left the first start, though there is still nobody.
let looksAround = false;
// A link that the program was started with: offered once, and never used unasked.
let given = null;

// The address names what is open: #/KEY, #/KEY/SEQ/FOUND, #outbox, #transfers. So the back button works, and a reload stays.
let route = null;
function show() {
  // The address of a new window, pasted where this page is.
  if (location.hash.startsWith('#code=')) return location.reload();
  if (!state.wasLive || state.window.locked || isFirst()) return;
  const [, key, seq, found] = location.hash.match(/^#\/([^/]+)(?:\/(\d+)\/(.*))?$/) ?? [];
  const place = ['#outbox', '#transfers'].includes(location.hash) ? location.hash.slice(1) : null;
  const peer = key && friend(key);
  const next = peer || place ? location.hash : '';
  if (route === next) return;
  route = next;
  $('none').hidden = Boolean(peer || place);
  if (!peer || state.open !== key) closeAbout();
  if (!place) closePlace();
  if (!peer) closeTalk(), forgetDraft();
  document.body.dataset.view = peer ? 'talk' : place ? 'place' : 'list';
  if (peer) openTalk(key, seq && { seq: Number(seq), found: decodeURIComponent(found) }), showDraft(), leaveTray();
  if (place) openPlace(place);
  if (!peer && !place) nobody();
  drawSide();
}

function nobody() {
  const isEmpty = friends().length === 0;
  put($('none'), el('img', { src: 'icon.svg', alt: '' }), el('h2', null, isEmpty ? 'Nobody here yet' : 'Pick a conversation'),
    el('p', null, isEmpty ? 'Invite a friend with a link, or join with one that you were given.'
      : 'Or press Ctrl+K, and type a part of a name or of what was said.'),
    isEmpty ? button('main', 'Add somebody', invite) : null);
}

// It goes on after the name is given: a link may show that nobody has used yet.
const isFirst = () => (state.window.is_new || start.isAtStart('first')) && state.peer.size === 0 && !looksAround;

let told = '';
function banner() {
  const { isLive, node } = state;
  const words = !isLive ? 'egoat has stopped on this computer. Start it again as you did before. What you write is kept here, and sent when it is back.'
    : !node.runs ? `egoat does not run in the background, so nothing comes or goes${node.trouble ? `: ${clean(node.trouble)}` : ''}. What you write waits here. To start it, type in a terminal:` : '';
  if (told === words) return;
  told = words;
  put($('banner'), words && [icon('warn'), el('span', 'grow', words), isLive ? copyLine(state.window.serve) : how()]);
}

function draw(changes) {
  remember(state.window.command);
  if (!state.wasLive) return changes.has('live') && start.unreachable();
  if (state.window.locked) { start.sealed(); return; }
  if (isFirst()) { start.first(() => { looksAround = true; draw(changes); }, given); return; }
  // A peer who joins while the first start shows a link ends it, and is the conversation to open.
  if (start.isAtStart('first') && state.peer.size > 0 && !location.hash) location.hash = `#/${friends()[0].key}`;
  if (!$('start').hidden) {
    if (given && !start.isAtStart('first')) join(given);
    given = null;
    start.leaveStart();
    route = null;
  }
  show();
  banner();
  if (!state.open && !state.place && changes.has('peer')) nobody();
  if (state.open) showDraft();
  if (changes.has('live')) sending.onLive();
}

async function main() {
  start.loading();
  onOver(start.ended);
  onChange(draw);
  addEventListener('hashchange', show);
  addEventListener('keydown', event => { if (event.key === 'Escape' && !document.querySelector('dialog[open]')) closeAbout(); });
  try {
    const { isIn, join } = await enter();
    if (!isIn) return start.ended();
    given = join;
  } catch (error) {
    if (error.http) return start.ended();
    start.unreachable();
    return setTimeout(() => location.reload(), 1000);
  }
  const why = await follow();
  if (why.http === 409) start.elsewhere();
}

main();
