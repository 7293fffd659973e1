/** The constants of this machine's architecture. Throws if it is not supported. */
import { type Architecture, architectureOf } from './architecture.js';

export const HERE: Architecture = architectureOf(process.arch);
