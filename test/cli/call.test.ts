/**
 * Protects what a user writes from whatever lies between the command line and the programs: Node, which looks for options
 * of its own among all words and obeys variables; the shell of the launcher; and decoders of text, which replace bytes.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { assert } from 'chai';
import { PACKAGE } from '../support/container/tscr.js';
import { CLI, usePlace } from '../support/mount/place.js';

const SUITE = 'cli: words, variables and bytes';
const TSCR = `${PACKAGE}/dist/bin/tscr`;
/** Bytes that are no UTF-8: a lone one, a cut sequence, an overlong one, a surrogate. */
const BYTES = ['\\377', 'a\\303', '\\300\\257', '\\355\\240\\200z'];

/** Words that Node takes for its own, wherever they stand. FILE is one that it would obey. */
const NODE_WORDS = [
  '--env-file=FILE',
  '--env-file-if-exists=FILE',
  '--experimental-config-file=FILE',
  '--experimental-default-config-file',
  '--require=FILE',
  '--import=FILE',
  '-r',
  '--inspect',
  '--version',
  '--v8-options',
  '--eval=1',
  '-p',
  '--',
  '=',
  '=--env-file=FILE',
];

describe(SUITE, () => {
  const place = usePlace(SUITE);

  /** What a script says, in which $tscr and $unionfs are the programs. It must exit with 0. */
  function sh(script: string, env: NodeJS.ProcessEnv = {}): string {
    const { status, stdout, stderr } = spawnSync('sh', ['-uc', script], {
      cwd: place.directory,
      encoding: 'latin1',
      env: {
        ...process.env,
        tscr: TSCR,
        unionfs: CLI,
        TSCR_ROOT: place.path('store'),
        TSCR_RUN: place.path('run'),
        ...env,
      },
      timeout: 30_000,
    });
    assert.equal(status, 0, `${script}: ${stdout}${stderr}`);
    return stdout;
  }

  before(() => {
    place.make({ lower: { file: 'lower' }, upper: {}, merged: {} });
    writeFileSync(
      place.path('evil.cjs'),
      `require('fs').writeFileSync(${JSON.stringify(place.path('obeyed'))}, '')`,
    );
    writeFileSync(place.path('evil.env'), `NODE_OPTIONS=--require=${place.path('evil.cjs')}\n`);
    sh('"$tscr" image from-host sh,cat,env,printf,od,test -t host:1 >/dev/null');
  });
  afterEach(() => assert.isFalse(existsSync(place.path('obeyed')), 'Node obeyed the user'));

  describe('Node obeys none of them', () => {
    for (const word of NODE_WORDS.map((each) => each.replace('FILE', 'evil.env'))) {
      it(`${word} is a word of the command in a container, of "unionfs exec" and of "tscr unshare"`, () => {
        const show = `sh -c 'printf "%s|" "$@"' sh '${word}' '${word}'`;
        const shown = `${word}|${word}|`;
        assert.equal(sh(`"$tscr" run --rm host:1 ${show}`), shown);
        assert.equal(sh(`"$unionfs" exec --lower lower -- ${show}`), shown);
        assert.equal(sh(`"$tscr" unshare --mount ${show}`), shown);
      });
    }

    it('--env-file is for the container, with "=" and without', () => {
      for (const option of ['--env-file evil.env', '--env-file=evil.env']) {
        const shown = sh(`"$tscr" run --rm ${option} host:1 sh -c 'echo "$NODE_OPTIONS"'`);
        assert.equal(shown, `--require=${place.path('evil.cjs')}\n`);
      }
    });

    it('nor of those where a file or directory of a union is named', () => {
      place.make({ '--env-file=evil.env': {}, '--require=evil.cjs': {} });
      sh('"$unionfs" mount --lower --env-file=evil.env --upper upper -- --require=evil.cjs');
      sh('"$unionfs" umount -- --require=evil.cjs');
    });

    it('it obeys no variable of the caller, and the command gets them as they were', () => {
      const variables = {
        NODE_OPTIONS: `--require=${place.path('evil.cjs')}`,
        NODE_PATH: place.path('nowhere'),
        NODE_EXTRA_CA_CERTS: place.path('evil.env'),
        NODE_DEBUG: 'fs',
        NODE_NO_SUCH_VARIABLE: ' quotes \' " $(touch obeyed) and\nlines ',
        OPENSSL_CONF: place.path('evil.env'),
        UV_THREADPOOL_SIZE: '1',
        SSL_CERT_FILE: place.path('evil.env'),
        HARMLESS: 'line\nexport NODE_FAKE=1',
      };
      const names = Object.keys(variables);
      const show = `sh -c '${names.map((name) => `printf "%s|" "$${name}"`).join(';')}; printf %s "$(env | grep -c ^NODE_FAKE=)"'`;
      const shown = `${Object.values(variables).join('|')}|1`;
      const counted = shown; // the line in HARMLESS is no variable, but env(1) shows it as one
      assert.equal(sh(`"$unionfs" exec --lower lower -- ${show}`, variables), counted.replace(/1$/, '0'));
      assert.equal(sh(`"$tscr" unshare --mount ${show}`, variables), counted.replace(/1$/, '0'));
      const given = names.map((name) => `-e ${name}`).join(' ');
      const inside = `sh -c '${names.map((name) => `printf "%s|" "$${name}"`).join(';')}'`;
      assert.equal(
        sh(`"$tscr" run --rm ${given} host:1 ${inside}`, variables),
        `${Object.values(variables).join('|')}|`,
      );
      sh(
        '"$unionfs" mount --lower lower merged && "$unionfs" list >/dev/null && "$unionfs" umount merged',
        variables,
      );
    });

    it('20,000 words take no longer than they must', () => {
      const shown = sh(`timeout 20 "$unionfs" exec --lower lower -- sh -c 'echo $# $1' sh $(seq 20000)`);
      assert.equal(shown, '20000 1\n');
    });

    it('what an interrupted Node would read from the directory is not read', () => {
      place.make({
        'node.config.json': '{"nodeOptions":{"require":["./evil.cjs"]}}',
        '.env': 'NODE_OPTIONS=--bad\n',
      });
      assert.equal(sh('"$tscr" run --rm host:1 printf ok'), 'ok');
    });
  });

  describe('variables', () => {
    /** Names that shells do not take or change, and those that objects of JavaScript have. */
    const ODD = [
      ...[
        'a.b=1',
        'my-var=2',
        '1st=3',
        'BASH_FUNC_module%%=() { echo; }',
        'IFS=x',
        'PPID=7',
        'PS4=w',
        'PWD=/not',
      ],
      ...[
        'OLDPWD=/b',
        'OPTIND=1',
        'LINENO=9',
        'ENV=/none',
        'CDPATH=/',
        '__proto__=p',
        'constructor=c',
        'EMPTY=',
      ],
      ...[
        'NODE_OPTIONS=--bad',
        'UNIONFS_USER_NAMESPACE=junk',
        'UNIONFS_ENVIRONMENT_1=junk',
        'part=1',
        'line=2',
      ],
      ...['LINES=a\nexport PATH=1\nexport program=2\n', 'POSIXLY_CORRECT=1', `BIG=${'b'.repeat(100_000)}`],
      `BIGGER=${'c'.repeat(100_000)}`,
    ];

    /** What a command that is run by `program` has, beside what it is given of ours. */
    function environmentIn(program: string, prelude = '', more = ''): string[] {
      const [path, home] = [`PATH=${process.env['PATH']}`, 'HOME=/root'];
      writeFileSync(place.path('odd'), [path, home, ...ODD, ''].join('\0'));
      const start = `${prelude} xargs -0 -a odd sh -c 'exec env -i "$@" ${more} ${program} cat /proc/self/environ' sh`;
      return sh(start)
        .split('\0')
        .filter((line) => line !== '' && !line.startsWith('UNIONFS_MOUNT='))
        .sort();
    }

    for (const program of ['$unionfs exec --lower lower --', '$tscr unshare --mount']) {
      it(`the command of "${program}" has all of the caller's, byte by byte`, () => {
        const direct = environmentIn('');
        assert.isAbove(direct.length, ODD.length);
        assert.deepEqual(
          environmentIn(program.replace(/\$(\w+)/, (_, name) => (name === 'tscr' ? TSCR : CLI))),
          direct,
        );
      });
    }

    it('also when names and values are not UTF-8', () => {
      const raw = [`export X="$(printf 'n\\377=v\\303')";`, '"$X"'] as const;
      const direct = environmentIn('', ...raw);
      assert.include(direct, 'n\xff=v\xc3');
      assert.deepEqual(environmentIn(`${CLI} exec --lower lower --`, ...raw), direct);
    });

    it("where /proc numbers processes otherwise, it is the caller's and not another process's", () => {
      const script = `exec env -i "PATH=$PATH" a.b=1 '${TSCR}' unshare --mount env`;
      assert.include(sh(`unshare --pid --fork sh -c '${script.replaceAll("'", `'"'"'`)}'`), 'a.b=1\n');
    });

    /** sh of Debian, of Red Hat, of Alpine. */
    for (const shell of ['dash', 'bash --posix', 'busybox sh']) {
      it(`${shell} as sh gives Node nothing but what our programs read, and takes no function from the caller`, () => {
        place.make({ fake: {} });
        writeFileSync(
          place.path('fake/node'),
          '#!/bin/sh\ntr "\\0" "\\n" </proc/$$/environ | cut -d= -f1; echo "words $#"\n',
          { mode: 0o755 },
        );
        const functions = ['readlink', 'base64', 'node'].map(
          (name) => `'BASH_FUNC_${name}%%=() { touch obeyed; }'`,
        );
        const interpreted = [
          ...[
            'NODE_OPTIONS',
            'NODE_PATH',
            'NODE_V8_COVERAGE',
            'NODE_COMPILE_CACHE',
            'NODE_REPL_EXTERNAL_MODULE',
          ],
          ...[
            'NODE_EXTRA_CA_CERTS',
            'NODE_CHANNEL_FD',
            'NODE_UNIQUE_ID',
            'NODE_ICU_DATA',
            'ICU_TIMEZONE_FILES_DIR',
          ],
          ...[
            'OPENSSL_CONF',
            'OPENSSL_MODULES',
            'SSL_CERT_FILE',
            'CTLOG_FILE',
            'UV_THREADPOOL_SIZE',
            'QLOGDIR',
          ],
          ...[
            'SIMDUTF_FORCE_IMPLEMENTATION',
            'WATCH_REPORT_DEPENDENCIES',
            'DEBUG_ASYNC',
            'ENV',
            'BASH_ENV',
            'CDPATH',
          ],
          ...['UNIONFS_USER_NAMESPACE', 'UNIONFS_ENVIRONMENT_7'],
        ];
        const given = [
          ...functions,
          ...interpreted.map((name) => `${name}=x`),
          'PATH="$PWD/fake:$PATH"',
          'LC_ALL=C',
        ];
        for (const [program, count] of [
          [TSCR, 5],
          [CLI, 7],
        ] as const) {
          const lines = sh(`env ${given.join(' ')} ${shell} '${program}' 'a b' ''`)
            .trimEnd()
            .split('\n');
          assert.equal(lines.pop(), `words ${count}`);
          assert.includeMembers(lines, ['PATH', 'LC_ALL', 'UNIONFS_ENVIRONMENT_1']);
          assert.isEmpty(lines.filter((name) => interpreted.includes(name)));
        }
      });
    }

    it('what our sources read of the environment is what the launcher leaves', () => {
      const launcher = readFileSync(`${PACKAGE}/cli/launcher.sh`, 'utf8');
      const left = new Set(
        launcher
          .match(/^ {6}(PATH \|.*|TSCR_ROOT \|.*)\) ;;$/gm)
          ?.flatMap((line) => line.match(/\w+/g) ?? []),
      );
      const sources = ['fs', 'runtime', 'cli'].map(sourcesIn).join('');
      const indexed = [...sources.matchAll(/(?:process\.env|environment)\['(\w+)'\]/g)].map(
        ([, name = '']) => name,
      );
      const picked = [...sources.matchAll(/const \{([^}]*)\} = process\.env/g)].flatMap(([, names = '']) =>
        names.split(',').map((name) => name.replace(/:.*/, '').trim()),
      );
      assert.includeMembers(picked, ['TSCR_ROOT', 'HOME']);
      assert.deepEqual(
        [...indexed, ...picked].filter((name) => !left.has(name)),
        [],
      );
    });

    it('-e NAME of a name that JavaScript knows is none that the caller has', () => {
      const shown = sh('"$tscr" run --rm -e constructor -e __proto__ -e toString host:1 env');
      assert.notMatch(shown, /^(constructor|__proto__|toString)/m);
    });
  });

  describe('bytes that are not UTF-8', () => {
    it('a command that cannot be run gives the exit code of a shell', () => {
      const run = (command: string): string =>
        sh(`"$unionfs" exec --lower lower -- ${command} "$(printf 'x\\377')" 2>&1; echo $?`);
      assert.equal(run('no-such'), '"no-such" was not found\n127\n');
      assert.equal(run('/etc/passwd'), '"/etc/passwd" cannot be executed\n126\n');
      assert.equal(run('sh -c "kill -TERM \\$\\$"'), '143\n');
    });

    for (const bytes of BYTES) {
      it(`${bytes}: layers, work directories and mountpoints`, () => {
        const script = `
          name="$(printf '${bytes}')"; rm -rf bytes; mkdir -p "bytes/l$name" "bytes/u$name" "bytes/m$name"; cd bytes
          echo content >"l$name/file"
          "$unionfs" mount --lower "l$name" --upper "u$name" --workdir "w$name" "m$name"
          cat "m$name/file"; echo new >"m$name/$name"; test -d "w$name/work"
          "$unionfs" list | grep -c '\\\\x'; "$unionfs" inspect "m$name" | grep -c '\\\\x'
          "$unionfs" diff "m$name"; "$unionfs" explain "m$name/$name" >/dev/null
          "$unionfs" umount "m$name"
          "$unionfs" diff "w$name"; test -f "u$name/$name"
          cd "u$name"; mkdir l m; "$unionfs" mount --lower l m; "$unionfs" umount m; rmdir m l
          cd ../..; ls bytes | wc -l`;
        const lines = sh(script).trimEnd().split('\n');
        const escaped = `A /${shownOf(bytes)}`;
        assert.deepEqual([lines[0], lines[3], lines[4], lines.at(-1)], ['content', escaped, escaped, '4']);
      });

      it(`${bytes}: the words and variables of a command`, () => {
        const script = (command: string): string =>
          `X="$(printf '${bytes}')"; export X; ${command} sh -c 'printf "%s " "$1" "$X"' sh "a$X"`;
        const expected = sh(script(''));
        assert.equal(sh(script('"$unionfs" exec --lower lower --')), expected);
      });
    }

    const REFUSED: Record<string, [command: string, complaint: RegExp]> = {
      'a word of a container': [
        'run --rm host:1 printf "$X"',
        /argument 5, "ab\\xff", is not UTF-8: byte \\xff at offset 2/,
      ],
      'a volume': [
        'run --rm -v "$PWD/$X:/x" host:1 true',
        /argument 4, ".*ab\\xff.*", is not UTF-8: byte \\xff at/,
      ],
      'a variable': [
        'run --rm -e "A=$X" host:1 true',
        /argument 4, "A=ab\\xff", is not UTF-8: byte \\xff at offset 4/,
      ],
      "a variable of the caller's": [
        'run --rm -e X host:1 true',
        /value of "X" is not UTF-8: byte \\xff at offset 2/,
      ],
      'a file of variables': [
        'run --rm --env-file bytes.env host:1 true',
        /"bytes.env", line 2, is not UTF-8: byte \\xff at offset 7/,
      ],
      'the store': ['--root "$X" images', /argument 2, "ab\\xff", is not UTF-8/],
    };
    for (const [what, [command, complaint]] of Object.entries(REFUSED)) {
      it(`${what}: refused with the offset, and nothing is made`, () => {
        sh(String.raw`printf 'A=1\nB=x\377\n' >bytes.env`);
        const script = `X="$(printf 'ab\\377')"; export X; "$tscr" ${command} 2>complaint; echo $?`;
        assert.equal(sh(script), '125\n');
        assert.match(readFileSync(place.path('complaint'), 'latin1'), complaint);
        assert.equal(sh('"$tscr" ps -aq'), '');
      });
    }

    it('a working directory, and variables that name one, are refused where Node would lose them', () => {
      const complaint = sh(
        `d="$(printf 'd\\377')"; mkdir "$d"; cd "$d"; "$tscr" run host:1 true 2>&1 || test $? = 125`,
      );
      assert.match(complaint, /the working directory, ".*d\\xff", is not UTF-8/);
      const scratch = sh(
        `TMPDIR="$(printf '/tmp/d\\377')" "$unionfs" exec --lower lower -- true 2>&1 || test $? = 125`,
      );
      assert.match(scratch, /the value of TMPDIR, ".*d\\xff", is not UTF-8/);
      const other = sh(`TSCR_ROOT="$(printf '/tmp/d\\377')" "$tscr" images 2>&1 || test $? = 125`);
      assert.match(other, /the value of TSCR_ROOT, ".*d\\xff", is not UTF-8/);
    });
  });

  it('the programs are executable, and work through symlinks and from anywhere', () => {
    const bin = place.path('bin-links');
    mkdirSync(bin);
    sh(
      `ln -s "$tscr" bin-links/tscr; ln -s "$unionfs" bin-links/unionfs; ln -s unionfs bin-links/unionfs-overlay`,
    );
    for (const name of ['tscr', 'unionfs', 'unionfs-overlay'])
      assert.match(sh(`PATH="$PWD/bin-links:$PATH"; cd /; ${name} --version`), /\d+\.\d+/);
    const manifest = JSON.parse(readFileSync(`${PACKAGE}/package.json`, 'utf8')) as {
      bin: Record<string, string>;
    };
    for (const path of Object.values(manifest.bin)) {
      const fd = openSync(`${PACKAGE}/${path}`, 'r');
      closeSync(fd);
      sh(`test -x '${PACKAGE}/${path}'`);
    }
  });
});

/** Octal escapes of printf(1) as the programs show those bytes. */
const shownOf = (octal: string): string =>
  octal.replace(/\\(\d{3})/g, (_, digits: string) => `\\x${Number.parseInt(digits, 8).toString(16)}`);

/** The TypeScript of one of the package's directories. */
const sourcesIn = (directory: string): string =>
  readdirSync(`${PACKAGE}/${directory}`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(`${PACKAGE}/${directory}/${name}`, 'utf8'))
    .join('');
