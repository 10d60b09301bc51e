// Why something waits, in plain words, with the next try and what doctor finds.

import { get, post } from './api.js';
import { ask, button, el, put, tell, toast } from './dom.js';
import { state } from './state.js';
import { clean } from './text.js';
import { ahead, sentence } from './words.js';

export const why = (entry, peer) => ask(`Why does this wait for ${peer.name}?`, box => {
  const found = el('div', 'stack small');
  const look = button('plain', 'Find out more', () => { look.disabled = true; examine(peer.key, found); });
  const retry = () => { post('retry', { peer: peer.key }).then(() => toast('Trying…'), tell); box.close(); };
  const reason = entry.reason ?? peer.talk.error ?? 'it was not tried yet';
  box.append(el('p', { class: 'quiet', dir: 'auto' }, sentence(clean(reason))), el('p', 'quiet', whenNext(entry, peer)), found,
    el('div', 'end', look, button('plain', 'Try now', retry), button('main', 'Close', () => box.close())));
});

function whenNext(entry, { name, talk }) {
  if (!state.node.runs) return 'It goes out when egoat runs again on this computer.';
  if (entry.reason) return 'It waits until you try again.';
  const next = ahead(talk.next);
  return next ? `egoat tries again in ${next}, and at once when ${name} connects.`
    : `egoat goes on trying, and sends it at once when ${name} connects.`;
}

// Lets doctor look at a peer, and shows what it finds.
export async function examine(key, into) {
  put(into, el('p', 'quiet', el('span', 'wait'), ' Looking. This takes some seconds.'));
  try {
    const checks = (await get('doctor', { peer: key })).filter(({ verdict }) => verdict && verdict !== 'skipped');
    put(into, checks.map(({ verdict, detail, hint }) => el('p', { dir: 'auto' },
      el('b', verdict === 'ok' ? 'ok' : 'err', verdict === 'ok' ? '✓ ' : '! '), sentence(clean(detail)),
      hint && el('span', 'quiet', ` ${sentence(clean(hint))}`))));
  } catch (error) {
    put(into, el('p', 'err', error.message));
  }
}
