/** The package names of programs and libraries, by distribution (ID and ID_LIKE of os-release(5)). */
import type { Host } from './host.js';

type Needed = 'newuidmap' | 'fusermount3' | 'libseccomp' | 'unshare' | 'kernel' | 'xz' | 'bzip2';

interface Distribution {
  readonly ids: readonly string[];
  readonly install: string;
  readonly packages: Readonly<Record<Needed, string>>;
}

const USUAL = { fusermount3: 'fuse3', unshare: 'util-linux', xz: 'xz', bzip2: 'bzip2' } as const;
const DEBIAN: Distribution = {
  ids: ['debian'],
  install: 'apt-get install -y',
  packages: {
    ...USUAL,
    xz: 'xz-utils',
    newuidmap: 'uidmap',
    libseccomp: 'libseccomp2',
    kernel: 'linux-image-$(dpkg --print-architecture)',
  },
};

/** The first match is used: Ubuntu is "like" Debian. */
const DISTRIBUTIONS: readonly Distribution[] = [
  { ...DEBIAN, ids: ['ubuntu'], packages: { ...DEBIAN.packages, kernel: 'linux-generic' } },
  DEBIAN,
  {
    ids: ['fedora', 'rhel', 'centos'],
    install: 'dnf install -y',
    packages: { ...USUAL, newuidmap: 'shadow-utils', libseccomp: 'libseccomp', kernel: 'kernel' },
  },
  {
    ids: ['alpine'],
    install: 'apk add',
    packages: { ...USUAL, newuidmap: 'shadow-uidmap', libseccomp: 'libseccomp', kernel: 'linux-lts' },
  },
  {
    ids: ['suse', 'opensuse'],
    install: 'zypper install -y',
    packages: { ...USUAL, newuidmap: 'shadow', libseccomp: 'libseccomp2', kernel: 'kernel-default' },
  },
  {
    ids: ['arch'],
    install: 'pacman -S --noconfirm',
    packages: { ...USUAL, newuidmap: 'shadow', libseccomp: 'libseccomp', kernel: 'linux' },
  },
];

/** The command that installs packages; Debian's for an unknown distribution. */
export function installCommand(host: Pick<Host, 'read'>, needed: Needed): string {
  const release = host.read('/etc/os-release') ?? '';
  const words = [...release.matchAll(/^(?:ID|ID_LIKE)=(.*)$/gm)].flatMap(([, value = '']) =>
    value.replaceAll('"', '').split(' '),
  );
  const known = DISTRIBUTIONS.find(({ ids }) => ids.some((id) => words.includes(id))) ?? DEBIAN;
  return `${known.install} ${known.packages[needed]}`;
}
