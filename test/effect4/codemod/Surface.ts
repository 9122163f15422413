/** What the modules of Effect 4 export, read from their declarations. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import ts from "typescript"

export interface Surface {
  /** The names that a module exports; undefined for a module that there is not. */
  readonly exportsOf: (module: string) => ReadonlySet<string> | undefined
}

const namesIn = (declarations: string): ReadonlySet<string> => {
  const names = new Set<string>()
  const file = ts.createSourceFile("module.d.ts", declarations, ts.ScriptTarget.Latest)
  for (const statement of file.statements) {
    if (ts.isVariableStatement(statement)) {
      for (const { name } of statement.declarationList.declarations) if (ts.isIdentifier(name)) names.add(name.text)
    } else if (ts.isExportDeclaration(statement) && statement.exportClause !== undefined) {
      if (ts.isNamespaceExport(statement.exportClause)) names.add(statement.exportClause.name.text)
      else for (const { name } of statement.exportClause.elements) names.add(name.text)
    } else if (
      ts.isFunctionDeclaration(statement) ||
      ts.isClassDeclaration(statement) ||
      ts.isInterfaceDeclaration(statement) ||
      ts.isTypeAliasDeclaration(statement) ||
      ts.isModuleDeclaration(statement)
    ) {
      if (statement.name !== undefined) names.add(statement.name.text)
    }
  }
  return names
}

/** The modules of the packages in a folder's `node_modules`. */
export const make = (folder: string): Surface => {
  const known = new Map<string, ReadonlySet<string> | undefined>()
  const read = (module: string) => {
    const [, name = "", rest = "index"] = /^((?:@[^/]+\/)?[^/]+)(?:\/(.*))?$/.exec(module) ?? []
    const file = ["", "/index"]
      .map((end) => join(folder, "node_modules", name, "dist", `${rest}${end}.d.ts`))
      .find((file) => existsSync(file))
    return file === undefined ? undefined : namesIn(readFileSync(file, "utf8"))
  }
  return {
    exportsOf: (module) => {
      if (!known.has(module)) known.set(module, read(module))
      return known.get(module)
    }
  }
}
