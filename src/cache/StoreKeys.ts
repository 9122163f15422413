/** Where a store says which keys its entries stand under, to the adapters. */
const id: unique symbol = Symbol.for("effect-ghostdb/StoreKeys")

/** The store, which says so. */
export const carry = <S extends object>(store: S, keyOf: (key: string) => string): S =>
  Object.assign(store, { [id]: keyOf })

/** The key of an entry of the store; a store written by hand has no prefix. */
export const keyOf = (store: object, key: string): string => {
  const own: unknown = Reflect.get(store, id)
  return typeof own === "function" ? own(key) : key
}
