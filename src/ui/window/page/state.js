// What the program has told of the state. It tells each object whole; views hear once for each batch.

import { Failed, events } from './api.js';
import { clean } from './text.js';

export const state = {
  window: {}, node: { runs: true }, peer: new Map(), conversation: new Map(), here: new Map(), away: new Map(),
  transfer: new Map(), offer: new Map(), request: new Map(),
  // The stream is open and has told everything; it was once.
  isLive: false, wasLive: false,
  // The key of the conversation that is open, and the name of the place that is.
  open: null, place: null,
};

const ID = { peer: 'key', conversation: 'key', here: 'key', away: 'key', transfer: 'number', offer: 'number', request: 'fingerprint' };
const hearers = [];
const atEnd = [];
let changed = new Set();
// A state that is being told, and the number behind which the stream goes on.
let whole = null;
let last;
// Why a peer's key was found to have changed. A later try may fail for another reason, so the alarm stays until the peer is here.
const alarms = new Map();

// Calls `hear` with the set of what changed: kinds, and keys of conversations.
export const onChange = hear => hearers.push(hear);
// Calls `hear` with a transfer when it has ended.
export const onEnd = hear => atEnd.push(hear);

export function change(...what) {
  if (changed.size === 0) queueMicrotask(() => {
    const batch = changed;
    changed = new Set();
    for (const hear of hearers) hear(batch);
  });
  what.forEach(one => changed.add(one));
}

// What a conversation has of which the log cannot be read.
const EMPTY = { unread: 0, messages: 0, transfers: 0, stopped: 0 };

function apply(given) {
  const object = given.event === 'conversation' ? { ...EMPTY, ...given } : given, { event, n } = object;
  if (object.cause === 'changed-key') alarms.set(object.key, object.error);
  if (n !== undefined) last = n;
  if (event === 'state') {
    // Built aside until it is whole, so that no view shows a part of it.
    whole = Object.fromEntries(Object.keys(ID).map(kind => [kind, new Map()]));
  } else if (event === 'live') {
    Object.assign(state, whole, { isLive: true, wasLive: true });
    whole = null;
    change('live', 'all');
    for (const key of state.here.keys()) alarms.delete(key);
  } else if (whole && event !== 'gone') {
    if (ID[event]) whole[event].set(object[ID[event]], object);
    else whole[event] = object;
  } else if (event === 'gone') {
    const kind = ID[object.of] && state[object.of];
    const id = ID[object.of] === 'number' ? Number(object.id) : object.id;
    const was = kind?.get(id);
    kind?.delete(id);
    change(object.of, was?.key ?? id);
    if (object.of === 'transfer' && was) atEnd.forEach(hear => hear(was)), change('ended');
  } else if (ID[event]) {
    state[event].set(object[ID[event]], object);
    if (event === 'here') alarms.delete(object.key);
    change(event, object.key ?? object.peer_key);
  } else if (event === 'window' || event === 'node') {
    state[event] = object;
    change(event);
  }
}

// Follows the stream for as long as there is a session, with a pause that grows while the program does not answer. Returns
// when following makes no sense any more, with why.
export async function follow() {
  for (let pause = 250; ;) {
    // A state that was cut off is told again.
    whole = null;
    try {
      await events(last, objects => { pause = 250; objects.forEach(apply); goOn(); });
    } catch (error) {
      if (error.http === 401 || error.http === 409) return error;
      if (!(error instanceof Failed)) console.error(error);
    }
    state.isLive = false;
    change('live');
    await new Promise(done => setTimeout(done, pause));
    pause = Math.min(pause * 2, 4000);
  }
}

// A stream that goes on behind a number does not say that it is live: what comes says so.
function goOn() {
  if (!state.isLive && state.wasLive && last !== undefined) state.isLive = true, change('live');
}

// A peer with all that is known of it, as views need it.
export function friend(key) {
  const peer = state.peer.get(key), talk = state.conversation.get(key);
  if (!peer && !talk) return null;
  const name = clean(peer?.peer ?? talk.peer), here = state.here.get(key), away = state.away.get(key);
  return { ...peer, key, name, here, away, alarm: alarms.get(key), talk: talk ?? EMPTY };
}

// Whether a friend is here, as far as is known: while egoat has stopped, nobody is.
export const isHere = ({ here }) => Boolean(here && state.isLive);

// Whether what is queued for a friend leaves now: it is here, and the last try did not fail.
export const reaches = ({ here, talk }) => Boolean(here && !talk.error && state.isLive && state.node.runs);

// Newest first, by what was said last or waits.
export const friends = () => [...new Set([...state.peer.keys(), ...state.conversation.keys()])].map(friend)
  .sort((one, other) => moment(other) - moment(one) || one.name.localeCompare(other.name));
export const moment = ({ talk }) => Math.max(talk.time ?? 0, talk.newest ?? 0);

export const keyOf = object => object.peer_key ?? [...state.peer.values()].find(({ peer }) => peer === object.peer)?.key;
export const of = (kind, key) => [...state[kind].values()].filter(one => keyOf(one) === key);
