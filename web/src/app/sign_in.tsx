// Asks for a token when the historian wants one. It stays in this tab's session storage and goes nowhere but into the authorization header.
import { useEffect, useRef, useState } from 'preact/hooks';
import { connection, requestJson, signIn, signInNeeded, token } from '../api/request';
import type { WhoAmI } from '../api/messages';
import { useStore } from '../model/store';

export function SignIn() {
  const needed = useStore(signInNeeded);
  const { epoch } = useStore(connection);
  const dialog = useRef<HTMLDialogElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const [who, setWho] = useState<WhoAmI | null>(null);
  useEffect(() => {
    if (needed && !dialog.current?.open) dialog.current?.showModal();
    if (!needed && dialog.current?.open) dialog.current.close();
    if (needed) void requestJson<WhoAmI>('whoami').then(setWho, () => setWho(null));
  }, [needed, epoch]);
  const submit = (secret: string) => {
    if (input.current) input.current.value = '';
    signIn(secret);
  };
  return (
    <dialog ref={dialog} aria-labelledby="sign-in-title" onClose={() => signInNeeded.set(false)} data-testid="sign-in">
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          submit(input.current?.value.trim() ?? '');
        }}
      >
        <h2 id="sign-in-title">Sign in</h2>
        {who ? (
          <p>You are <b>{who.name}</b>, known by {who.known_by}. Rights: {(who.rights ?? []).map((right) => right.right).join(', ') || 'none'}.</p>
        ) : (
          <p>{token() ? 'The historian does not take this token: it is unknown, expired or revoked.' : 'This historian asks for a token (historian token create).'}</p>
        )}
        <label>Token<input ref={input} type="password" autocomplete="off" spellcheck={false} /></label>
        <div class="dialog-buttons">
          {token() && <button type="button" onClick={() => submit('')}>Sign out</button>}
          <button type="button" onClick={() => signInNeeded.set(false)}>Cancel</button>
          <button type="submit" class="primary">Sign in</button>
        </div>
      </form>
    </dialog>
  );
}
