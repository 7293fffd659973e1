/**
 * Protects operations that are true already from what fails afterwards: a failed system call is neither the operation's
 * error nor a secret, a mistake of ours is never taken for one, and an answer that cannot be had is asked for once more.
 */
import { spawnSync } from 'node:child_process';
import { assert } from 'chai';
import { E, Errno } from '../../../fs/sys/errno.js';
import { answered, finish } from '../../../fs/union/rules/finish.js';

const FINISH = new URL('../../../fs/union/rules/finish.js', import.meta.url).href;
const ERRNO = new URL('../../../fs/sys/errno.js', import.meta.url).href;

/** What a program that finishes operations prints on standard error. */
function printed(statements: string): string {
  const program = `
    import { finish } from '${FINISH}';
    import { E, Errno } from '${ERRNO}';
    const fail = (what, code) => finish(what, () => { throw new Errno(code, 'utimensat'); });
    ${statements}
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  assert.equal(stdout, '');
  return stderr;
}

const failing = (): never => {
  throw new Errno(E.EIO, 'fstat');
};

describe('union/finish: what follows the commit', () => {
  it('tells whether it was done', () => {
    let calls = 0;
    assert.isTrue(finish('counting', () => void calls++));
    assert.equal(calls, 1);
  });

  it('is reported once for each kind and errno, and the operation goes on', () => {
    const lines = printed(`
      for (const code of [E.EIO, E.EIO, E.ENOSPC]) if (fail('setting times', code)) console.log('done');
      fail('removing a name', E.EIO);
    `)
      .trim()
      .split('\n');
    assert.lengthOf(lines, 3);
    for (const line of lines) assert.match(line, /^unionfs: .+ failed: .+; the operation itself is complete/);
    assert.match(lines[0] ?? '', /setting times failed: .*EIO/);
    assert.match(lines[1] ?? '', /setting times failed: .*ENOSPC/);
    assert.match(lines[2] ?? '', /removing a name failed: .*EIO/);
  });

  it('is not taken for done when it is a mistake of ours', () => {
    assert.throws(
      () =>
        finish('counting', () => {
          throw new TypeError('a mistake');
        }),
      TypeError,
      'a mistake',
    );
  });
});

describe('union/finish: the answer to what is true already', () => {
  /** Fails so often, then answers; how often it was asked and given up. */
  function ask(failures: number, fail: () => never = failing) {
    const seen = { asked: 0, lost: 0, answer: undefined as string | undefined, error: undefined as unknown };
    try {
      seen.answer = answered(
        () => (seen.asked++ < failures ? fail() : 'answer'),
        () => void seen.lost++,
      );
    } catch (error) {
      seen.error = error;
    }
    return seen;
  }

  it('is asked for once', () => assert.deepInclude(ask(0), { asked: 1, lost: 0, answer: 'answer' }));
  it('and again if a system call fails', () =>
    assert.deepInclude(ask(1), { asked: 2, lost: 0, answer: 'answer' }));

  it('is given up when it fails twice, and the change is denied', () => {
    const { error, ...seen } = ask(2);
    assert.deepEqual(seen, { asked: 2, lost: 1, answer: undefined });
    assert.instanceOf(error, Errno);
  });

  it('is not asked for again after a mistake of ours', () => {
    const { error, ...seen } = ask(1, () => {
      throw new TypeError('a mistake');
    });
    assert.deepEqual(seen, { asked: 1, lost: 0, answer: undefined });
    assert.instanceOf(error, TypeError);
  });
});
