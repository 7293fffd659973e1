/**
 * A process that works on a mount and does what it is told: Python, for the system calls that Node lacks.
 *
 * Rules: it is a process of its own, so that a mount that hangs does not hang the tests, and so that it can be
 * another user. Its variables stay from one piece of code to the next.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { IS_HOST_ROOT, SELF } from '../privilege.js';

/** One piece of code, or several that follow each other, each indented as its surroundings are. */
export type Code = string | readonly string[];

export interface ClientOptions {
  /** User and group; no further groups then. Whoever runs the tests stays what he is. */
  readonly uid?: number;
  readonly cwd?: string;
}

const TIMEOUT_MS = 30_000;
/** The system's own: wrappers of version managers cost more than the code that is run. */
const PYTHON = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';

/** Names are given as text in `args`; `result` goes back as JSON. */
const LOOP = `
import ctypes, errno, fcntl, json, mmap, os, stat, struct, subprocess, sys

RENAMES_LOWER_DIRECTORIES = ${IS_HOST_ROOT ? 'True' : 'False'}

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_NOREPLACE, RENAME_EXCHANGE = -100, 1, 2
errno.errorcode[errno.EOPNOTSUPP] = 'EOPNOTSUPP'

def renameat2(old, new, flags):
    if libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags) != 0:
        raise OSError(ctypes.get_errno(), 'renameat2')

def fallocate(fd, mode, offset, length):
    size = ctypes.c_int64
    if libc.fallocate(fd, mode, size(offset), size(length)) != 0:
        raise OSError(ctypes.get_errno(), 'fallocate')

def attempt(call, *arguments):
    "The name of the error that a call ends in, or 'ok'."
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return 'ok'

def move(old, new):
    "mv(1): a directory of a lower layer is renamed where the host's root has mounted, and copied elsewhere"
    if RENAMES_LOWER_DIRECTORIES:
        os.rename(old, new)
    else:
        subprocess.run(['mv', '-T', old, new], check=True)

def create(path, data=b'', mode=0o644):
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)

def read(path):
    with open(path, 'rb') as file:
        return file.read().decode('latin1')

os.umask(0o022)
answers = os.fdopen(os.dup(1), 'w')
for line in sys.stdin:
    request = json.loads(line)
    globals().update(request['args'])
    result = None
    try:
        exec(compile(request['code'], 'test', 'exec'))
        answer = {'result': result}
    except BaseException as error:
        code = errno.errorcode.get(error.errno) if isinstance(error, OSError) else None
        answer = {'error': f'{type(error).__name__}: {code or ""} {error}'}
        where = error.__traceback__.tb_next
        if where is not None:
            answer['error'] += f' in line {where.tb_lineno}: ' + request['code'].splitlines()[where.tb_lineno - 1]
    print(json.dumps(answer), file=answers, flush=True)
`;

export class Client {
  readonly #process: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(options: ClientOptions) {
    this.#process = spawn(PYTHON, ['-c', LOOP], {
      stdio: ['pipe', 'pipe', 'inherit'],
      ...processOptions(options),
    });
    const { stdout } = this.#process;
    if (stdout === null) throw new Error('the client has no output');
    this.#answers = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  /** Runs a piece of code with `args` as its variables; gives what it assigns to `result`. */
  async run<T = unknown>(code: Code, args: object = {}): Promise<T> {
    this.#process.stdin?.write(request(code, args));
    return resultOf<T>(await this.#answer());
  }

  async #answer(): Promise<string> {
    const timer = setTimeout(() => this.kill(), TIMEOUT_MS);
    try {
      const { value, done } = await this.#answers.next();
      if (done === true) throw new Error('the client ended without an answer');
      return value as string;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Lets the process end. */
  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.stdin?.end();
    await ended;
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }
}

/** Runs one piece of code in a process of its own and waits for it. */
export function runPython<T>(code: Code, args: object, options: ClientOptions): T {
  const { stdout, error } = spawnSync(PYTHON, ['-c', LOOP], {
    input: request(code, args),
    stdio: ['pipe', 'pipe', 'inherit'],
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
    ...processOptions(options),
  });
  if (error !== undefined) throw error;
  return resultOf<T>(stdout);
}

function processOptions({ uid, cwd }: ClientOptions) {
  return { ...(cwd !== undefined && { cwd }), ...(uid !== undefined && uid !== SELF && { uid, gid: uid }) };
}

function request(code: Code, args: object): string {
  const pieces = typeof code === 'string' ? [code] : code;
  return `${JSON.stringify({ code: pieces.map(dedent).join('\n'), args })}\n`;
}

function resultOf<T>(answer: string): T {
  if (answer === '') throw new Error('the client ended without an answer');
  const { result, error } = JSON.parse(answer) as { result: T; error?: string };
  if (error !== undefined) throw new Error(`the client failed: ${error}`);
  return result;
}

/** Takes the common indentation off. */
function dedent(code: string): string {
  const lines = code.split('\n').filter((line) => line.trim() !== '');
  const indent = Math.min(...lines.map((line) => line.length - line.trimStart().length));
  return lines.map((line) => line.slice(indent)).join('\n');
}
