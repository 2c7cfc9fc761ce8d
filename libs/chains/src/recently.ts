/** An answer that is asked for again only when it is no longer fresh; all who want it meanwhile share one question. */
export class Recently<T> {
  private asked: { answer: Promise<T>; at: number } | null = null;

  /** @param freshMs milliseconds an answer serves from when it was asked for */
  constructor(
    private readonly ask: () => Promise<T>,
    private readonly freshMs: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** What was answered lately, or is now. A question that fails is asked again by the next who wants to know. */
  get(): Promise<T> {
    const { asked } = this;
    if (asked && this.now() - asked.at < this.freshMs) return asked.answer;
    const answer = this.ask();
    const mine = { answer, at: this.now() };
    this.asked = mine;
    answer.catch(() => {
      if (this.asked === mine) this.asked = null;
    });
    return answer;
  }
}
