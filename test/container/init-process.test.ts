/** Protects the supervisor from waiting for an init stage that is gone. */
import { assert } from 'chai';
import { UsageError } from '../../fs/index.js';
import { runBundle, startInit } from '../../runtime/container/process/bundle.js';
import { defaultSpec } from '../../runtime/container/spec/default-spec.js';

describe('container: an init stage that ends before its job', () => {
  it('is told in one line', async () => {
    const init = startInit('ignore');
    init.kill('SIGKILL');
    await init.ended;
    const request = { spec: defaultSpec(), root: '/', stdin: 'ignore' } as const;
    const refused = await runBundle(request, init).then(
      () => undefined,
      (error: unknown) => error,
    );
    assert.instanceOf(refused, UsageError);
    assert.equal(
      (refused as UsageError).message,
      'the init stage exited without reporting an error, with exit code 137',
    );
  });
});
