/**
 * Rewrites a module for Effect 4: what it imports, the members of what it imports, calls that have another shape, and the
 * examples in its comments. What Effect 4 does not have and no rule covers is a problem.
 */
import { posix } from "node:path"
import ts from "typescript"
import { calls } from "./calls.js"
import * as rules from "./rules.js"
import type { Surface } from "./Surface.js"

/** What could not be rewritten, and where. */
export interface Problem {
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly message: string
}

/** What the rule of a call works with. */
export interface Context {
  /** A node, rewritten, without the comments before it. */
  readonly text: (node: ts.Node) => string
  /** The name of a module in this file, which is imported if it is not. */
  readonly namespace: (module: string, isType?: boolean) => string
  /** The end of the rewriting: there is no rule for this form. */
  readonly fail: (node: ts.Node, message: string) => string
}

interface Namespace {
  readonly module: string
  readonly local: string
  /** Whether the file uses it: as a value, as a type alone, or not at all. */
  use: "value" | "type" | undefined
}

const isRewritten = (module: string) =>
  module !== "effect-ghostdb" &&
  !module.startsWith("effect-ghostdb/") &&
  /^(effect|@effect\/(platform|platform-node|experimental))(\/|$)/.test(module)

/** What a table has under a name. */
const of = <A>(table: Readonly<Record<string, A>>, name: string): A | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined

/** The last segment, by which a namespace is called in this project. */
const nameOf = (module: string) => module.slice(module.lastIndexOf("/") + 1)

/** Whether a node stands where only its type counts. */
const isInType = (node: ts.Node): boolean => {
  for (let at = node; at.parent !== undefined; at = at.parent) {
    if (ts.isTypeNode(at) && !ts.isExpressionWithTypeArguments(at)) return true
    if (ts.isExpressionWithTypeArguments(at)) return ts.isInterfaceDeclaration(at.parent.parent)
    if (ts.isStatement(at) || ts.isExpression(at.parent)) return false
  }
  return false
}

class Rewriter implements Context {
  readonly problems: Array<Problem> = []
  /** By module, in the order of their imports. */
  private readonly namespaces = new Map<string, Namespace>()
  /** What a name of the file stands for: a module of Effect 3. */
  private readonly locals = new Map<string, string>()
  /** What a name of the file stands for: a member of a module of Effect 3. */
  private readonly imported = new Map<string, { readonly module: string; readonly member: string }>()
  private readonly source: ts.SourceFile
  private readonly isBarrel: boolean
  private readonly readsResults: boolean

  constructor(
    private readonly file: string,
    private readonly code: string,
    private readonly surface: Surface
  ) {
    this.source = ts.createSourceFile(file, code, ts.ScriptTarget.Latest, true)
    const imports = this.source.statements.filter(ts.isImportDeclaration)
    this.isBarrel = imports.some(({ moduleSpecifier }) => rules.barrels.has(this.raw(moduleSpecifier).slice(1, -1)))
    for (const declaration of imports) this.readImport(declaration)
    this.readsResults = [...this.locals.values()].includes("effect/Either")
  }

  run(): string {
    const statements = this.source.statements.filter((statement) => !this.isImport(statement))
    const body = statements.map((statement) => this.full(statement)).join("")
    const end = this.comments(this.code.slice(this.source.statements.at(-1)?.end ?? 0))
    const imports = this.source.statements.filter((statement) => this.isImport(statement))
    const first = imports[0]
    const before = first === undefined ? "" : this.comments(this.code.slice(first.pos, first.getStart(this.source)))
    const text = this.importsText()
    return `${before}${text}${text === "" || body.startsWith("\n") ? "" : "\n"}${body}${end}`
  }

  readonly text = (node: ts.Node): string => {
    return this.full(node).slice(this.comments(this.code.slice(node.pos, node.getStart(this.source))).length)
  }

  namespace(module: string, isType = false): string {
    let found = this.namespaces.get(module)
    if (found === undefined) {
      found = { module, local: nameOf(module), use: undefined }
      this.namespaces.set(module, found)
    }
    if (!isType) found.use = "value"
    else found.use ??= "type"
    return found.local
  }

  fail(node: ts.Node, message: string): string {
    const line = this.source.getLineAndCharacterOfPosition(node.getStart(this.source)).line + 1
    this.problems.push({ file: this.file, line, message })
    return this.raw(node)
  }

  private raw(node: ts.Node): string {
    return this.code.slice(node.getStart(this.source), node.end)
  }

  private isImport(statement: ts.Statement): boolean {
    return ts.isImportDeclaration(statement) && isRewritten(this.raw(statement.moduleSpecifier).slice(1, -1))
  }

  private readImport(declaration: ts.ImportDeclaration): void {
    const module = this.raw(declaration.moduleSpecifier).slice(1, -1)
    const bindings = declaration.importClause?.namedBindings
    if (!isRewritten(module) || bindings === undefined) return
    if (ts.isNamespaceImport(bindings)) {
      this.readNamespace(module, bindings.name.text)
      return
    }
    for (const { name, propertyName } of bindings.elements) {
      const member = (propertyName ?? name).text
      if (rules.barrels.has(module)) this.readNamespace(`${module}/${member}`, name.text)
      else this.imported.set(name.text, { module, member })
    }
  }

  private readNamespace(module: string, local: string): void {
    this.locals.set(local, module)
    const target = this.moduleOf(module)
    // The members of a module that is gone may have gone elsewhere: each use tells.
    if (target === undefined) return
    // A name of the file's own stays, but one that is the old module's follows the new one.
    const name = local === nameOf(module) && !target.startsWith("fast-check") ? nameOf(target) : local
    if (!this.namespaces.has(target)) this.namespaces.set(target, { module: target, local: name, use: undefined })
  }

  /** The module of Effect 4 that has taken a module's place. */
  private moduleOf(module: string): string | undefined {
    const own = this.file.startsWith("test/") ? of(rules.testModules, module) : undefined
    const target = own ?? of(rules.modules, module) ?? module
    return rules.unchecked.has(target) || this.surface.exportsOf(target) !== undefined ? target : undefined
  }

  /** A node with the comments before it. */
  private full(node: ts.Node): string {
    const start = node.getStart(this.source)
    const rewritten = this.rewritten(node)
    if (rewritten !== undefined) return this.comments(this.code.slice(node.pos, start)) + rewritten
    let text = ""
    let at = node.pos
    ts.forEachChild(node, (child) => {
      text += this.comments(this.code.slice(at, child.pos)) + this.full(child)
      at = child.end
    })
    const isLeaf = at === node.pos
    if (isLeaf) return this.comments(this.code.slice(node.pos, start)) + this.code.slice(start, node.end)
    return text + this.comments(this.code.slice(at, node.end))
  }

  private rewritten(node: ts.Node): string | undefined {
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
      const method = of(rules.methods, node.expression.name.text)
      if (method !== undefined && this.targetOf(node.expression) === undefined) {
        const args = [
          node.expression.expression,
          ...node.arguments.filter((argument) => !this.isDropped(argument))
        ].map(this.text)
        return `${this.name(method, false)}(${args.join(", ")})`
      }
    }
    if (
      ts.isCallExpression(node) ||
      ts.isNewExpression(node) ||
      ts.isTypeReferenceNode(node) ||
      ts.isExpressionWithTypeArguments(node)
    ) {
      const callee = ts.isTypeReferenceNode(node) ? node.typeName : node.expression
      const isCall = ts.isCallExpression(node) || ts.isNewExpression(node)
      const dropped = isCall ? this.withoutDropped(node) : undefined
      if (dropped !== undefined) return dropped
      const target = this.targetOf(callee)
      const rule = target && of(calls, `${target.module}#${target.member}`)
      if (rule !== undefined) return rule(node, this)
      // Context.Tag("id")<Self, Shape>(), class A extends Request.TaggedClass("A")<B, C, D>
      const inner = ts.isCallExpression(callee) ? this.targetOf(callee.expression) : undefined
      const curried = inner && of(calls, `${inner.module}#${inner.member}()`)
      if (curried !== undefined) return curried(node, this)
    }
    if (ts.isPropertyAccessExpression(node) || ts.isQualifiedName(node)) return this.access(node)
    if (ts.isStringLiteral(node)) {
      const text =
        of(rules.modules, node.text) ??
        of(rules.texts, node.text) ??
        (this.readsResults ? of(rules.resultTags, node.text) : undefined)
      return text === undefined ? undefined : JSON.stringify(text)
    }
    if (ts.isIdentifier(node)) return this.identifier(node)
    if (ts.isObjectLiteralExpression(node)) return this.withoutOptions(node)
    if (ts.isPropertyAssignment(node) && ts.isIdentifier(node.name)) {
      const assignment = of(rules.assignments, this.raw(node))
      if (assignment !== undefined) return assignment
      const name =
        of(rules.texts, node.name.text) ?? (this.readsResults ? of(rules.resultOptions, node.name.text) : undefined)
      if (name !== undefined) return `${name}: ${this.text(node.initializer)}`
    }
    return undefined
  }

  private isDropped(argument: ts.Expression): boolean {
    const target = this.targetOf(argument)
    return target !== undefined && rules.dropped.has(`${target.module}#${target.member}`)
  }

  /** A call of whose arguments there is one that Effect 4 does not take. */
  private withoutDropped(node: ts.CallExpression | ts.NewExpression): string | undefined {
    const all = node.arguments ?? ts.factory.createNodeArray<ts.Expression>()
    if (!all.some((argument) => this.isDropped(argument))) return undefined
    const generics =
      node.typeArguments === undefined ? "" : `<${node.typeArguments.map((type) => this.text(type)).join(", ")}>`
    const rest = all.filter((argument) => !this.isDropped(argument)).map((argument) => this.text(argument))
    return `${ts.isNewExpression(node) ? "new " : ""}${this.text(node.expression)}${generics}(${rest.join(", ")})`
  }

  /** An object literal without the options that Effect 4 has not. */
  private withoutOptions(node: ts.ObjectLiteralExpression): string | undefined {
    const isKept = ({ name }: ts.ObjectLiteralElementLike) =>
      name === undefined || !ts.isIdentifier(name) || !rules.options.has(name.text)
    if (node.properties.every(isKept)) return undefined
    return `{ ${node.properties.filter(isKept).map(this.text).join(", ")} }`
  }

  /** The member that an expression or a type names, if it is one of a namespace: `Effect.fn`, `Effect.Effect.Success`. */
  private targetOf(node: ts.Node): { readonly module: string; readonly member: string } | undefined {
    if (ts.isIdentifier(node)) return this.imported.get(node.text)
    const [left, right] = ts.isPropertyAccessExpression(node)
      ? [node.expression, node.name]
      : ts.isQualifiedName(node)
        ? [node.left, node.right]
        : []
    if (left === undefined || right === undefined) return undefined
    if (ts.isIdentifier(left)) {
      const module = this.locals.get(left.text)
      return module === undefined ? undefined : { module, member: right.text }
    }
    const outer = this.targetOf(left)
    if (outer === undefined) return undefined
    const nested = { module: outer.module, member: `${outer.member}.${right.text}` }
    return of(rules.members, nested.module)?.[nested.member] === undefined ? undefined : nested
  }

  private access(node: ts.PropertyAccessExpression | ts.QualifiedName): string | undefined {
    const target = this.targetOf(node)
    if (target !== undefined) return this.member(node, target)
    if (ts.isQualifiedName(node)) return undefined
    const path = of(rules.paths, this.raw(node))
    if (path !== undefined) return path
    const name =
      of(rules.properties, node.name.text) ?? (this.readsResults ? of(rules.results, node.name.text) : undefined)
    if (name === undefined) return undefined
    const between = this.code.slice(node.expression.end, node.name.getStart(this.source))
    return `${this.text(node.expression)}${between}${name}`
  }

  private identifier(node: ts.Identifier): string | undefined {
    const parent = node.parent
    const isName =
      (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
      (ts.isQualifiedName(parent) && parent.right === node) ||
      ((ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent)) && parent.name === node) ||
      (ts.isParameter(parent) && parent.name === node)
    if (isName) return undefined
    const imported = this.imported.get(node.text)
    if (imported !== undefined) return this.member(node, imported)
    const module = this.locals.get(node.text)
    if (module === undefined) return undefined
    const target = this.moduleOf(module)
    return target === undefined ? this.fail(node, `${module} is gone`) : this.namespace(target, isInType(node))
  }

  private member(node: ts.Node, { member, module }: { readonly module: string; readonly member: string }): string {
    if (of(calls, `${module}#${member}`) !== undefined) {
      const value = of(rules.values, `${module}#${member}`)
      if (value === undefined) return this.fail(node, `no rule for ${nameOf(module)}.${member} outside of a call`)
      return this.name(value, isInType(node))
    }
    const expression = of(rules.expressions, `${module}#${member}`)
    if (expression !== undefined) return this.name(expression, false)
    const rule = of(of(rules.members, module) ?? {}, member) ?? member
    const [path, name] = rule.includes("#") ? rule.split("#") : [this.moduleOf(module), rule]
    const first = name?.split(".")[0] ?? ""
    if (path === undefined || (!rules.unchecked.has(path) && this.surface.exportsOf(path)?.has(first) !== true)) {
      return this.fail(node, `no rule for ${nameOf(module)}.${member}, which Effect 4 does not have`)
    }
    const left = this.namespace(path, isInType(node))
    const dot = ts.isPropertyAccessExpression(node)
      ? this.code.slice(node.expression.end, node.name.getStart(this.source))
      : "."
    return `${left}${dot}${name}`
  }

  /** A member by its module and name, `effect/Clock#Clock`. */
  private name(path: string, isType: boolean): string {
    const [module = "", name = ""] = path.split("#")
    return `${this.namespace(module, isType)}.${name}`
  }

  /** The imports of what is used, each kind as the file had it. */
  private importsText(): string {
    const used = [...this.namespaces.values()].filter(({ use }) => use !== undefined)
    const lines = used.map((namespace) => {
      const { local, module, use } = namespace
      const barrel = module.slice(0, module.lastIndexOf("/"))
      const name = nameOf(module)
      const type = use === "type" ? "type " : ""
      return this.isBarrel && rules.isBarrelled(module)
        ? { barrel, item: `${type}${name === local ? name : `${name} as ${local}`}`, module }
        : { barrel: undefined, item: `import ${type}* as ${local} from "${this.path(module)}"`, module }
    })
    const barrels = new Map<string, Array<string>>()
    for (const { barrel, item } of lines) {
      if (barrel !== undefined) barrels.set(barrel, [...(barrels.get(barrel) ?? []), item])
    }
    return [
      ...lines.filter(({ barrel }) => barrel === undefined).map(({ item }) => item),
      ...[...barrels].map(([barrel, items]) =>
        items.every((item) => item.startsWith("type "))
          ? `import type { ${items.map((item) => item.slice(5)).join(", ")} } from "${barrel}"`
          : `import { ${items.join(", ")} } from "${barrel}"`
      )
    ].join("\n")
  }

  /** What a file writes to import a module: a path, where it is one of the package, `~/model/Lacking`. */
  private path(module: string): string {
    if (!module.startsWith("~/")) return module
    const path = posix.relative(posix.dirname(this.file), module.replace("~", "src"))
    return `${path.startsWith(".") ? path : `./${path}`}.js`
  }

  /** The text between two nodes: comments in the words of Effect 4, and their examples rewritten as modules are. */
  private comments(text: string): string {
    if (!text.includes("//") && !text.includes("/*")) return text
    return rules.words(this.examples(text))
  }

  private examples(text: string): string {
    return text.replace(/^( *\* )@example\n(.*?)(?=^ *\*\/$|^ *\* @)/gms, (_, margin: string, lines: string) => {
      const code = lines.replace(/^ *\* ?/gm, "")
      const { problems, text } = rewrite(this.file, code, this.surface)
      this.problems.push(...problems)
      const body = text.replace(/\n$/, "").split("\n")
      return `${margin}@example\n${body.map((line) => `${margin}${line}`.trimEnd()).join("\n")}\n`
    })
  }
}

/** Rewrites the text of a module. Problems carry the name of its file. */
export const rewrite = (
  file: string,
  code: string,
  surface: Surface
): { readonly text: string; readonly problems: ReadonlyArray<Problem> } => {
  const rewriter = new Rewriter(file, code, surface)
  const text = rewriter.run()
  return { text, problems: rewriter.problems }
}

/** Rewrites a document: its programs as modules are, and its words. */
export const document = (
  file: string,
  text: string,
  surface: Surface
): { readonly text: string; readonly problems: ReadonlyArray<Problem> } => {
  const problems: Array<Problem> = []
  const programs = text.replace(/^```ts\n(.*?)^```$/gms, (_, code: string, at: number) => {
    const before = text.slice(0, at).split("\n").length
    const rewritten = rewrite(file, code, surface)
    problems.push(...rewritten.problems.map((problem) => ({ ...problem, line: problem.line + before })))
    return `\`\`\`ts\n${rewritten.text}\`\`\``
  })
  return { text: rules.words(programs), problems }
}
