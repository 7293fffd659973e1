/** The table of the machine that this process runs on. Throws where there is none. */
import { type Architecture, architectureOf } from './architecture.js';

export const HERE: Architecture = architectureOf(process.arch);
