// A field for a name: what a person types becomes a name that egoat takes, and the line below the field says so.

import { el } from './dom.js';
import { nameOf } from './text.js';

// `who` sees the name. Returns the parts to show; `save(deed)` puts the name into the field, gives it to `deed`, and says
// below the field why that failed. It resolves with whether all went well.
export function nameField(who, value, props) {
  const told = el('p', { class: 'quiet small', role: 'status' });
  const input = el('input', { type: 'text', maxlength: 64, dir: 'auto', oninput: look, ...props });
  input.value = value ?? '';
  const tell = (words, isBad) => { told.textContent = words; told.classList.toggle('err', Boolean(isBad)); };

  function look() {
    const typed = input.value.trim(), made = nameOf(typed);
    const isOther = made && made !== typed;
    tell(isOther ? `${who} will see “${made}”: a name is one word of up to 32 letters, digits and a few signs.` : '');
  }

  async function save(deed) {
    const made = nameOf(input.value);
    if (!made) {
      tell('A name needs at least one letter or digit.', true);
      input.focus();
      return false;
    }
    if (made !== input.value) input.value = made;
    try {
      await deed(made);
      return true;
    } catch (error) {
      tell([error.message, error.hint].filter(Boolean).join(' ').replace(/`/g, ''), true);
      return false;
    }
  }
  return { input, told, save };
}
