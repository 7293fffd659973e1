/** The serving thread of a mount that another thread attached; the first message has its data. */
import { parentPort } from 'node:worker_threads';
import type { ServeData } from './serve-data.js';
import { type ServeEvent, serveUnion } from './serve-union.js';

/** Messages to the thread that started it. */
export type ServeMessage = 'loaded' | ServeEvent;

const tell = (message: ServeMessage): void => parentPort?.postMessage(message);

parentPort?.once('message', (data: ServeData) => serveUnion(data, tell));
tell('loaded');
