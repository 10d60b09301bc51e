// Why something waits: the cause in one plain sentence, then what to do, then the details for who wants them.

import { get, post } from './api.js';
import { ask, button, el, put, tell, toast } from './dom.js';
import { reaches, state } from './state.js';
import { clean } from './text.js';
import { ahead, sentence } from './words.js';

export const why = (entry, peer) => ask(entry.state === 'refused' ? 'Why was this refused?' : `Why does this wait for ${peer.name}?`, box => {
  const found = el('div', 'stack small');
  const look = button('plain', 'Find out more', () => { look.disabled = true; examine(peer.key, found); });
  const retry = () => { post('retry', { peer: peer.key }).then(() => toast('Trying…'), tell); box.close(); };
  const [cause, deed] = causeOf(entry, peer), details = entry.reason ?? peer.talk.error;
  box.append(el('p', { class: 'cause', dir: 'auto' }, cause), el('p', { class: 'quiet', dir: 'auto' }, deed),
    el('details', null, el('summary', null, 'Details'), details && el('p', { class: 'quiet small', dir: 'auto' }, sentence(clean(details))),
      found, look),
    el('div', 'end', state.node.runs && button('plain', 'Try now', retry), button('main', 'Close', () => box.close())));
});

// What is in the way, and what the user can do: two sentences.
function causeOf(entry, peer) {
  const { name, talk } = peer, next = whenNext(peer);
  if (entry.state === 'refused') return [`${name} refused these files.`, `Ask ${name}, and then try again, or remove them here.`];
  if (entry.reason) return ['The files on this computer have changed since you sent them.', 'Try again to send them as they are now, or remove them here.'];
  if (peer.blocked) return [`You have blocked ${name}.`, `Unblock ${name}, and it goes out.`];
  if (!state.node.runs) return ['egoat does not run on this computer now.', 'It goes out when egoat runs again. The line at the top says how.'];
  if (reaches(peer)) return [`egoat is sending it to ${name} now.`, 'There is nothing to do.'];
  switch (talk.error && talk.cause) {
    case 'changed-key': return [`Another computer answers in the place of ${name}’s, or ${name} has set up anew.`,
      `Ask ${name} by another way and compare fingerprints. If it is so, remove ${name} here and pair again.`];
    case 'unreachable': return peer.addresses?.length === 0
      ? [`egoat does not know where ${name}’s computer is.`, `Ask ${name} to start egoat there. It goes out as soon as ${name} connects.`]
      : [`${name}’s computer does not answer.`, `It may be off, or egoat may not run there: ask ${name}. ${next}`];
    case 'busy': return [`${name}’s egoat has too many connections at the moment.`, next];
    case 'lost': return [`The connection to ${name} broke off.`, next];
    case 'proxy': return [`egoat cannot use the proxy by which it reaches ${name}.`, `Check that Tor or your proxy runs on this computer. ${next}`];
    case 'refused': return [`${name}’s egoat does not take it.`, `Ask ${name} whether they have blocked or removed you. ${next}`];
    case 'protocol': return [`What answers at ${name}’s address is no egoat, or one of another version.`, `Ask ${name} to update egoat. ${next}`];
    case 'other': return [`egoat could not send it to ${name}.`, next];
    default: return [`egoat has not tried to reach ${name} yet.`, next];
  }
}

function whenNext({ name, talk }) {
  const next = ahead(talk.next);
  return next ? `Nothing is lost: egoat tries again in ${next}, and at once when ${name} connects.`
    : `Nothing is lost: egoat goes on trying, and sends it at once when ${name} connects.`;
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
