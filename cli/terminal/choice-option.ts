/**
 * An option with named values, whose help has one line per value.
 *
 * Rule: the lines replace the list of choices and the default that commander appends (`optionDescription`).
 */
import { Help, Option } from 'commander';

export class ChoiceOption<Value extends string> extends Option {
  /**
   * @param values what each value means
   * @param standard the value that is used without the option
   */
  constructor(
    flags: string,
    description: string,
    values: Readonly<Record<Value, string>>,
    standard?: NoInfer<Value>,
  ) {
    const names = Object.keys(values) as Value[];
    const width = Math.max(...names.map((name) => name.length));
    const lines = names.map((name) => {
      const mark = name === standard ? ' (default)' : '';
      return `  ${name.padEnd(width)}  ${values[name]}${mark}`;
    });
    super(flags, [description, ...lines].join('\n'));
    this.choices(names);
    if (standard !== undefined) this.default(standard);
  }
}

/** Commander's `Help.optionDescription`. */
export const optionDescription = (option: Option): string =>
  option instanceof ChoiceOption ? option.description : new Help().optionDescription(option);
