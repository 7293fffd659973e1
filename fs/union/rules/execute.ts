/**
 * Carries out plans (`plan.ts`), step by step.
 *
 * Rules: what to do and in which order is the plan's business, how a step is done that of the actions. An error up to the
 * commit ends the operation, with what it has staged taken away again; one after it does not (`finish.ts`). What stays in
 * work is removed at the next opportunity, at the latest by the next mount.
 */
import { E, Errno } from '../../sys/errno.js';
import { finish } from './finish.js';
import type { Plan, Step } from './plan.js';

/** What carries out steps: its methods bear their names. */
export type Actions = Partial<Record<Step, () => void>> & {
  /** Takes away what was prepared for an operation that fails. Throws nothing. */
  readonly abandon?: () => void;
};

/** Runs a plan with the given actions; a refused one becomes its errno. The one place that knows what an error means. */
export function execute(plan: Plan, actions: Actions): void {
  if ('refused' in plan) throw new Errno(E[plan.refused]);
  try {
    for (const step of plan.prepare) perform(step, actions);
    if (plan.commit !== undefined) perform(plan.commit, actions);
  } catch (error) {
    actions.abandon?.();
    throw error;
  }
  for (const step of plan.finish) finish(step, () => perform(step, actions));
}

function perform(step: Step, actions: Actions): void {
  if (actions[step] === undefined) throw new Error(`no action for step "${step}"`);
  actions[step]();
}
