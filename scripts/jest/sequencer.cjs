/** End-to-end tests begin first, as they take longest: none is left to run alone while a core idles. All others as Jest has them. */
const { default: Sequencer } = require('@jest/test-sequencer');

const isEndToEnd = (test) => test.context.config.displayName.name === 'e2e';

module.exports = class EndToEndFirst extends Sequencer {
  sort(tests) {
    const sorted = [...super.sort(tests)];
    return [...sorted.filter(isEndToEnd), ...sorted.filter((test) => !isEndToEnd(test))];
  }
};
