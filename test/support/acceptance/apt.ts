/** What a root needs of the host's to reach the mirror: proxies, and how strict to be about dates. */
import { run } from '../run.js';

const SETTING = /^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date)\b/;
const PROXY_VARIABLES = ['http_proxy', 'https_proxy', 'no_proxy'];

/** A file for apt.conf.d. */
export function aptSettings(): string {
  const settings = run('apt-config', ['dump'])
    .split('\n')
    .filter((line) => SETTING.test(line));
  return `${settings.join('\n')}\n`;
}

export function aptEnvironment(): NodeJS.ProcessEnv {
  const proxies = PROXY_VARIABLES.map((name) => [name, process.env[name]]).filter(([, value]) => value);
  return { ...Object.fromEntries(proxies), DEBIAN_FRONTEND: 'noninteractive' };
}
