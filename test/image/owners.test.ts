/**
 * Protects images of ordinary users: who may not give files away keeps owners, modes and devices all the same, and root
 * gets them back from what is packed.
 */
import { createReadStream, writeFileSync } from 'node:fs';
import { assert } from 'chai';
import { packChanges, packTree } from '../../runtime/image/layer/pack.js';
import { unpackLayer } from '../../runtime/image/layer/unpack.js';
import { asUser, USER } from '../support/acceptance/as-user.js';
import { describeTree, diffTrees } from '../support/acceptance/tree.js';
import { archive } from '../support/image/archive.js';
import { useScratch } from '../support/image/scratch.js';
import { run } from '../support/run.js';

/** A tree that nobody but root can have. */
const TREE = `
mkdir -p etc var/mail tmp dev empty; chmod 1777 tmp; chmod 2775 var/mail; chown 8:8 var/mail; chmod 555 empty
echo secret > etc/shadow; chown 0:42 etc/shadow; chmod 640 etc/shadow
cp /bin/true su; chmod 4755 su; cp /bin/true raw; setcap cap_net_raw+ep raw
echo x > mail; chown 8:8 mail; ln mail var/mail/linked; chmod 000 mail
ln -s nowhere root-link; ln -s nowhere their-link; chown -h 33:33 their-link; ln -s su group-link; chown -h 0:5 group-link
mknod dev/null c 1 3; chmod 666 dev/null; mknod dev/sda b 8 0; chown 0:6 dev/sda; mkfifo pipe; chown 5:5 pipe
setfattr -n user.containers.override_stat -v 0:0:4755 mail
chmod 750 .; chown 3:4 .
`;

describe("ordinary users' layers", () => {
  const scratch = useScratch();

  const bash = (script: string, cwd: string): string =>
    run('bash', ['-euo', 'pipefail', '-c', script], { cwd });

  /** A directory of root's, its archive, and a place for the user. */
  function prepare(): { tree: string; archive: string; user: string } {
    const [tree, user] = [scratch.fresh('tree'), scratch.fresh('user')];
    bash('chmod 711 ..', user);
    bash(TREE, tree);
    const archive = `${user}/layer.tar`;
    bash(`tar --xattrs --xattrs-include='*' -cf ${archive} .; chown -R ${USER}:${USER} ${user}`, tree);
    return { tree, archive, user };
  }

  /** Node runs this in a module of the project as the user. */
  const node = (code: string): string => `node --input-type=module -e "${code.replaceAll('"', '\\"')}"`;
  const UNPACK = node(`
    import { createReadStream, mkdirSync } from 'node:fs';
    import { unpackLayer } from '/mnt/project/dist/runtime/image/layer/unpack.js';
    mkdirSync('layer');
    console.log(JSON.stringify(await unpackLayer(createReadStream('layer.tar'), 'layer')));
  `);

  it('are packed again as they were', async () => {
    const { archive: path, user } = prepare();
    const { skipped } = JSON.parse(asUser(UNPACK, user, 'none')) as { skipped: number };
    assert.strictEqual(skipped, 0);
    assert.strictEqual(bash(`find . -not -user ${USER} -o -perm /6022 -not -type l`, `${user}/layer`), '');
    const [back, roots] = [scratch.fresh('back'), scratch.fresh('roots')];
    await unpackLayer(packTree(`${user}/layer`), back);
    await unpackLayer(createReadStream(path), roots);
    assert.deepEqual(diffTrees(describeTree(roots), describeTree(back)), []);
  });

  it('have entries below a symlink of another owner, which is a file there', () => {
    const user = scratch.fresh('user');
    bash('chmod 711 ..', user);
    const bytes = archive(
      { name: 'usr', flag: '5', mode: 0o755 },
      { name: 'lib', flag: '2', linkName: '/usr', uid: 5 },
      { name: 'lib/x', data: 'x' },
    );
    writeFileSync(`${user}/layer.tar`, bytes);
    bash(`chown -R ${USER}:${USER} .`, user);
    const seen = asUser(`${UNPACK} >&2; stat -c '%n %F' layer/lib layer/usr/x`, user, 'none');
    assert.equal(seen, 'layer/lib regular file\nlayer/usr/x regular file\n');
  });

  it('are shown with their owners by a mount of theirs, and what changes there is committed with its own', async () => {
    const { tree, user } = prepare();
    asUser(UNPACK, user, 'none');
    const script = `
      mkdir upper merged
      $UNIONFS mount --lower layer --upper upper -o xattr_permissions=2 merged
      cd merged; stat -c '%n %u:%g %a %F' . etc/shadow su their-link dev/null tmp
      chown 12:13 su; echo more >> etc/shadow; chown -h 1:2 root-link; rm mail; mkdir -m 1777 tmp/new; rm -r dev
      ln -s x new-link; cd ..; umount merged
    `;
    assert.strictEqual(
      asUser(script, user, 'range'),
      [
        '. 3:4 750 directory',
        'etc/shadow 0:42 640 regular file',
        'su 0:0 4755 regular file',
        'their-link 33:33 777 symbolic link',
        'dev/null 0:0 666 character special file',
        'tmp 0:0 1777 directory',
        '',
      ].join('\n'),
    );
    const change = scratch.fresh('change');
    await unpackLayer(packChanges({ lowers: [`${user}/layer`], upper: `${user}/upper` }), change);
    bash(`rm -f ${tree}/mail`, tree);
    assert.strictEqual(
      bash(`find . -printf '%P %U:%G %#m %y\\n' | LC_ALL=C sort`, change),
      [
        ' 3:4 0750 d',
        'dev 0:0 0 c',
        'etc 0:0 0755 d',
        'etc/shadow 0:42 0640 f',
        'mail 0:0 0 c',
        'new-link 0:0 0777 l',
        'root-link 1:2 0777 l',
        'su 12:13 0755 f',
        'tmp 0:0 01777 d',
        'tmp/new 0:0 01777 d',
        '',
      ].join('\n'),
    );
  });

  it('cannot be planted by an image: what it says about its own attribute is shown as an attribute', async () => {
    const { archive } = prepare();
    const layer = scratch.fresh('layer');
    await unpackLayer(createReadStream(archive), layer);
    const names = bash('getfattr -d -m - --absolute-names mail | grep override', layer);
    assert.strictEqual(names, 'user.containers.containers.override_stat="0:0:4755"\n');
  });
});
