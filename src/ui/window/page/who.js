// Who the open conversation is with: the line above it, whether the peer is here and by which way, and what is wrong.

import { post } from './api.js';
import { $, button, el, face, icon, iconButton, put, tell } from './dom.js';
import { isHere, state } from './state.js';
import { clean } from './text.js';
import { exact, ahead, sentence, since } from './words.js';

function presence({ blocked, here, away, talk }) {
  if (blocked) return 'Blocked';
  if (!state.isLive) return 'Not known: no connection to egoat';
  if (here) return `Here since ${since(here.time)} · ${way(here)}`;
  const waits = talk.messages + talk.transfers > 0 && ahead(talk.next);
  return `Away · ${seen(away)}${waits ? ` · next try in ${waits}` : ''}`;
}

export const seen = away => away?.time ? `last seen ${since(away.time)}` : 'not seen yet';

// By which way, as the node says and as far as the address tells.
export function way({ address, path }) {
  if (/\.onion(:|$)/.test(address)) return 'through Tor';
  if (path === 'proxy') return 'through a proxy';
  if (/^\[?(127\.|::1)/.test(address)) return 'on this computer';
  if (path === 'nearby') return 'direct, in the same network';
  if (path === 'mapped') return 'direct, through their router';
  if (/^\[/.test(address)) return 'direct, IPv6';
  return /^\d+\.\d+\.\d+\.\d+/.test(address) ? 'direct, IPv4' : `direct, ${clean(address)}`;
}

const send = (name, detail) => () => dispatchEvent(new CustomEvent(name, { detail }));

function verified() {
  const badge = icon('shield');
  badge.removeAttribute('aria-hidden');
  badge.setAttribute('role', 'img');
  badge.setAttribute('aria-label', 'Verified');
  return badge;
}

let drawn;
export function drawWho(peer) {
  const here = isHere(peer), stamp = JSON.stringify([peer.key, peer.name, peer.verified, here]);
  if (drawn !== stamp) {
    drawn = stamp;
    put($('who'),
      iconButton('back', 'Back to the conversations', () => { location.hash = ''; }, { class: 'icon back' }),
      face({ ...peer, here }),
      el('div', 'names',
        el('div', 'title', el('h2', { class: 'cut', dir: 'auto' }, peer.name), peer.verified && verified()),
        el('small', { class: 'cut', id: 'presence' })),
      iconButton('search', 'Search in this conversation', send('finder', peer.key)),
      iconButton('info', `About ${peer.name}`, send('about'), { id: 'more' }));
  }
  const words = presence(peer), line = $('presence');
  if (line.textContent !== words) line.textContent = words;
  line.title = here ? `${clean(peer.here.address)}, since ${exact(peer.here.time)}` : peer.away?.time ? exact(peer.away.time) : '';
  warn(peer);
}

let warned;
function warn(peer) {
  const stamp = JSON.stringify([peer.key, peer.alarm, peer.blocked, peer.name]);
  if (warned === stamp) return;
  warned = stamp;
  put($('warn'),
    peer.alarm && el('div', { class: 'loud', role: 'alert' }, icon('warn'),
      el('div', 'grow', el('b', null, `${peer.name}’s key has changed. Nothing is sent.`),
        el('p', null, `${sentence(clean(peer.alarm))} Somebody may stand between you, or ${peer.name} has set up anew. Ask `,
          `${peer.name} by another way and compare fingerprints; if it is so, remove ${peer.name} here and pair again.`)),
      button('link', 'Compare', send('about'))),
    peer.blocked && el('div', null, icon('block'),
      el('span', 'grow', `You have blocked ${peer.name}. Nothing comes or goes.`),
      button('link', 'Unblock', () => post('set', { peer: peer.key, rule: 'blocked=' }).catch(tell))));
}
