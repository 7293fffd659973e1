/**
 * The commands and options of docker that tscr does not have, and what to use instead.
 *
 * Rule: what docker accepts is either done or refused by name, never ignored. A row leaves this table when the command
 * or the option is implemented; test/cli holds that no row names one that exists. Compare docker(1), docker-run(1).
 */
import type { Missing } from '../program.js';

const DETACH = 'a container runs in the foreground; start it with "&" or nohup(1)';
const STOP = 'send a signal to the process that "tscr ps" shows: kill PID';
const REGISTRY = 'registries are not supported; copy the image with skopeo(1) and "tscr load"';
const LIMITS = 'resource limits are not supported; run tscr in a control group, e.g. with systemd-run(1)';
const NETWORK = 'use --network "host" or "none"';
const FILES = 'use "tscr run -v", or "tscr export"';
const NO_TERMINAL = 'terminals are not supported; "-i" connects standard input';
const HOST_NAMES = 'mount a file: -v FILE:/etc/hosts or -v FILE:/etc/resolv.conf';
const LOGS = 'a container writes to the standard output of "tscr run"; redirect it to a file';
const RUN_BUNDLE = 'write a bundle with "tscr bundle", edit config.json, and run it with "tscr run --bundle"';
const VOLUMES = 'mount a directory of the host with "tscr run -v"';
const RUN = 'use "tscr run" for a new container';
const BUILD = 'build with buildah(1) and "tscr load", or use "tscr run" and "tscr commit"';
const PLATFORM = 'the platform is the one of this machine';
const NO_DAEMON = 'tscr has no daemon';
const TOP_LEVEL = 'use the command without it, e.g. "tscr ps"';
const JSON_AND_FILTER = 'use --json or --format, and filter the output, e.g. with jq(1)';
const NO_SUBSTITUTE = 'there is no replacement';

type Row = readonly [instead: string, ...names: string[]];

const COMMANDS: readonly Row[] = [
  [BUILD, 'build', 'builder', 'buildx', 'bake'],
  [RUN, 'create', 'start', 'restart', 'exec'],
  [STOP, 'stop', 'kill', 'pause', 'unpause'],
  ['"tscr run" returns when the container ends, with its exit code', 'wait', 'attach'],
  [LOGS, 'logs'],
  [FILES, 'cp'],
  ['use "tscr top", or top(1) with the PIDs that it shows', 'stats'],
  ['use "tscr ps"', 'events', 'port'],
  ['give the name with "tscr run --name"', 'rename'],
  [LIMITS, 'update'],
  [REGISTRY, 'pull', 'push', 'login', 'logout', 'search', 'manifest', 'trust'],
  [NETWORK, 'network'],
  [VOLUMES, 'volume'],
  ['use "tscr --version"', 'version'],
  [TOP_LEVEL, 'container'],
  [NO_DAEMON, 'compose', 'context', 'plugin', 'swarm', 'node', 'service', 'stack', 'secret', 'config'],
  [NO_SUBSTITUTE, 'checkpoint'],
];

const OPTIONS: Readonly<Record<string, readonly Row[]>> = {
  run: [
    [DETACH, '--detach -d', '--detach-keys', '--restart', '--cidfile', '--sig-proxy'],
    [NO_TERMINAL, '--tty -t', '--attach -a'],
    ['give an init of the image as the command, e.g. tini(1)', '--init'],
    [
      LIMITS,
      ...['--memory -m', '--memory-reservation', '--memory-swap', '--memory-swappiness', '--kernel-memory'],
      ...['--cpus', '--cpu-shares -c', '--cpu-period', '--cpu-quota', '--cpu-rt-period', '--cpu-rt-runtime'],
      ...['--cpuset-cpus', '--cpuset-mems', '--pids-limit', '--blkio-weight', '--blkio-weight-device'],
      ...['--device-read-bps', '--device-read-iops', '--device-write-bps', '--device-write-iops'],
      ...['--cgroup-parent', '--cgroupns', '--oom-kill-disable', '--oom-score-adj', '--shm-size', '--ulimit'],
    ],
    [NETWORK, '--publish -p', '--publish-all -P', '--expose', '--ip', '--ip6', '--mac-address', '--link'],
    [NETWORK, '--link-local-ip', '--network-alias', '--net-alias', '--net'],
    [HOST_NAMES, '--add-host', '--dns', '--dns-option', '--dns-search', '--domainname'],
    [
      RUN_BUNDLE,
      ...['--cap-add', '--cap-drop', '--privileged', '--security-opt', '--sysctl', '--device'],
      ...['--device-cgroup-rule', '--pid', '--ipc', '--uts', '--gpus', '--annotation', '--runtime'],
    ],
    [VOLUMES, '--volumes-from', '--volume-driver'],
    ['send signals to "tscr run"; it forwards them', '--stop-signal', '--stop-timeout'],
    ['labels come from the image: tscr commit -c "LABEL name=value"', '--label -l', '--label-file'],
    [LOGS, '--log-driver', '--log-opt'],
    [
      'run the check from outside',
      ...['--health-cmd', '--health-interval', '--health-retries', '--health-timeout'],
      ...['--health-start-period', '--health-start-interval', '--no-healthcheck'],
    ],
    ['use --storage-driver, and a filesystem with a quota', '--storage-opt'],
    [PLATFORM, '--platform', '--isolation'],
    ['leave it out; "tscr run" prints no progress', '--quiet -q'],
    [NO_SUBSTITUTE, '--disable-content-trust', '--use-api-socket'],
  ],
  ps: [[JSON_AND_FILTER, '--filter -f', '--format', '--last -n', '--latest -l', '--size -s']],
  images: [[JSON_AND_FILTER, '--filter -f', '--all -a']],
  rm: [[NO_SUBSTITUTE, '--link -l', '--volumes -v']],
  rmi: [[NO_SUBSTITUTE, '--no-prune', '--platform']],
  load: [[PLATFORM, '--platform']],
  save: [[PLATFORM, '--platform']],
  import: [[PLATFORM, '--platform']],
  history: [[NO_SUBSTITUTE, '--human -H', '--platform']],
  inspect: [['use "tscr system df"', '--size -s']],
  'system df': [[JSON_AND_FILTER, '--format', '--verbose -v']],
  'system prune': [['use "tscr rm" and "tscr rmi"', '--filter', '--volumes']],
};

/** The commands below `image` have the options of those beside it. */
const ALIASES: Readonly<Record<string, string>> = { 'image ls': 'images', 'image rm': 'rmi' };

/** As `Boundary.instead`. */
export function insteadOf(command: string, word: string): Missing | undefined {
  if (!word.startsWith('-')) return command === '' || command === 'image' ? find(COMMANDS, word) : undefined;
  const [name = ''] = word.startsWith('--') ? word.split('=') : [word.slice(0, 2)];
  return find(OPTIONS[ALIASES[command] ?? command.replace(/^image /, '')] ?? [], name);
}

function find(rows: readonly Row[], wanted: string): Missing | undefined {
  for (const [instead, ...names] of rows) {
    const found = names.map((name) => name.split(' ')).find((forms) => forms.includes(wanted));
    if (found !== undefined) return { name: found[0] ?? wanted, instead };
  }
  return undefined;
}

/** Every name in the table: with the command that it is an option of, or "" for a command. */
export const notImplemented = (): (readonly [command: string, name: string])[] => [
  ...COMMANDS.flatMap(([, ...names]) => names.map((name) => ['', name] as const)),
  ...Object.entries(OPTIONS).flatMap(([command, rows]) =>
    rows.flatMap(([, ...names]) =>
      names.flatMap((forms) => forms.split(' ').map((name) => [command, name] as const)),
    ),
  ),
];
