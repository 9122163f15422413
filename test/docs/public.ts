/** What the package exports, with its documentation: each declaration that an entry point of package.json names. */
import { readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import ts from "typescript"
import { root } from "./snippets.js"

export interface PublicDeclaration {
  /** The file below the project's folder. */
  readonly file: string
  readonly name: string
  /** What carries the doc comment. */
  readonly node: ts.Node
  /** What its doc comment says, without tags. */
  readonly text: string
  /** The heading under which the reference has it; empty where the comment names none. */
  readonly category: string
  /** The names of the comment's tags. */
  readonly tags: ReadonlyArray<string>
}

const { exports }: { readonly exports: Readonly<Record<string, string | { readonly types: string }>> } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8")
)

const entries = Object.values(exports).flatMap((target) =>
  typeof target === "string" ? [] : [target.types.replace("./dist", "src").replace(/\.d\.ts$/, ".ts")]
)

const sources = new Map<string, ts.SourceFile>()

const parse = (file: string): ts.SourceFile => {
  const source =
    sources.get(file) ??
    ts.createSourceFile(file, readFileSync(join(root, file), "utf8"), ts.ScriptTarget.Latest, true, ts.ScriptKind.TS)
  sources.set(file, source)
  return source
}

const isExported = (node: ts.Statement) =>
  ts.canHaveModifiers(node) && ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true

/** The names that a statement declares. */
const namesOf = (node: ts.Statement): ReadonlyArray<string> => {
  if (ts.isVariableStatement(node)) return node.declarationList.declarations.map(({ name }) => name.getText())
  const isNamed =
    ts.isFunctionDeclaration(node) ||
    ts.isClassDeclaration(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node)
  return isNamed && node.name !== undefined ? [node.name.text] : []
}

/** The declarations that a module exports: all of them, or those of one name. */
const exportedBy = (file: string, wanted?: string): ReadonlyArray<PublicDeclaration> => {
  const source = parse(file)
  return source.statements.flatMap((statement): ReadonlyArray<PublicDeclaration> => {
    if (ts.isExportDeclaration(statement)) {
      const { exportClause, isTypeOnly, moduleSpecifier } = statement
      const from =
        moduleSpecifier !== undefined && ts.isStringLiteral(moduleSpecifier)
          ? relative(root, join(root, dirname(file), moduleSpecifier.text.replace(/\.js$/, ".ts")))
          : undefined
      if (exportClause === undefined || ts.isNamespaceExport(exportClause)) {
        return from === undefined ? [] : exportedBy(from)
      }
      return exportClause.elements.flatMap(({ name, propertyName }) => {
        if (wanted !== undefined && name.text !== wanted) return []
        const declared = (propertyName ?? name).text
        const declarations = from === undefined ? declaredIn(source, declared) : exportedBy(from, declared)
        return isTypeOnly ? declarations.filter(({ node }) => !ts.isVariableStatement(node)) : declarations
      })
    }
    if (!isExported(statement)) return []
    return namesOf(statement).flatMap((name) =>
      wanted === undefined || name === wanted ? [declaration(source, statement, name)] : []
    )
  })
}

const declaredIn = (source: ts.SourceFile, name: string) =>
  source.statements.flatMap((statement) =>
    namesOf(statement).includes(name) ? [declaration(source, statement, name)] : []
  )

const declaration = (source: ts.SourceFile, node: ts.Statement, name: string): PublicDeclaration => ({
  file: source.fileName,
  name,
  node,
  text: ts
    .getJSDocCommentsAndTags(node)
    .flatMap((doc) => ts.getTextOfJSDocComment(doc.comment) ?? [])
    .join("\n"),
  category:
    ts
      .getJSDocTags(node)
      .filter(({ tagName }) => tagName.text === "category")
      .map(({ comment }) => ts.getTextOfJSDocComment(comment))[0] ?? "",
  tags: ts.getJSDocTags(node).map(({ tagName }) => tagName.text)
})

/** Each public declaration once, in the order of the files. What is `@internal` is none. */
export const publicDeclarations = (): ReadonlyArray<PublicDeclaration> => {
  const found = new Map<ts.Node, PublicDeclaration>()
  for (const one of entries.flatMap((file) => exportedBy(file))) {
    if (!one.tags.includes("internal")) found.set(one.node, one)
  }
  return [...found.values()]
}
