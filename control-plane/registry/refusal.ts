// refusal.ts — an answer in Consul's own words: a status and a line of text.

export class Refusal extends Error {
  readonly status: number

  constructor(status: number, text: string) {
    super(text)
    this.name = 'Refusal'
    this.status = status
  }
}
