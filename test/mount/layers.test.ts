/** Protects how a mount holds the directories it is made of: what it may do to them, and when it lets them go. */
import { assert } from 'chai';
import { usePlace } from './place.js';
import { serverOf } from './processes.js';

const SUITE = 'layers';

/** What each of a server's descriptors of a directory answers to `call(path)`. */
const THROUGH_DESCRIPTORS = `
def through_descriptors(server, directory, call):
    paths = [f'/proc/{server}/fd/{fd}' for fd in os.listdir(f'/proc/{server}/fd')]
    return [attempt(call, path) for path in paths if os.path.exists(path) and os.path.samefile(path, directory)]
`;

describe(SUITE, () => {
  const place = usePlace(SUITE);

  it("the server's own descriptors of lower layers cannot change them, nor their access times", () => {
    const union = place.union('lower', { lowers: [{ file: 'below' }, { file: 'bottom' }] });
    const seen = place.python(
      [
        THROUGH_DESCRIPTORS,
        `
        def access_time(path):
            return os.stat(path + '/file').st_atime_ns
        result = []
        for lower in lowers:
            os.utime(lower + '/file', ns=(0, 10**18)) # a read would change it, even with relatime
            reads = through_descriptors(server, lower, lambda path: read(path + '/file'))
            opens = through_descriptors(server, lower, lambda path: os.open(path + '/file', os.O_WRONLY))
            makes = through_descriptors(server, lower, lambda path: os.mkdir(path + '/new'))
            result.append([reads, opens, makes, access_time(lower)])
        `,
      ],
      { server: serverOf(union.mountpoint), lowers: union.lowers },
    );
    assert.deepEqual(seen, Array(2).fill([['ok'], ['EROFS'], ['EROFS'], 0]));
  });
});
