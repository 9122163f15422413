/** What Workers have. */
declare module "cloudflare:sockets" {
  export const connect: (address: { readonly hostname: string; readonly port: number }) => {
    readonly opened: Promise<unknown>
    readonly close: () => Promise<unknown>
  }
}
