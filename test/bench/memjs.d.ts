/** What the benchmark uses of memjs, which has no types of its own. */
declare module "memjs" {
  export class Client {
    static create(servers: string, options?: { readonly timeout?: number; readonly retries?: number }): Client
    get(key: string): Promise<{ readonly value: Buffer | null }>
    set(key: string, value: string, options: { readonly expires?: number }): Promise<boolean>
  }
}
