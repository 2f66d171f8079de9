//! The information schema: that of `DataFusion`, with what tables, columns and table functions are in the words of people as the last column.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, StringArray},
    datatypes::DataType,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, SchemaProvider, TableProvider,
        information_schema::InformationSchemaProvider, view::ViewTable,
    },
    datasource::provider_as_source,
    error::Result,
    execution::SessionState,
    logical_expr::{
        ColumnarValue, Expr, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TableType, Volatility, ident, lit,
    },
};

use super::Tables;
use crate::{CATALOG, SCHEMA, function};

/// Schema, table or function, and column or nothing.
type InformationKey = [String; 3];

pub struct InformationSchema {
    inner: InformationSchemaProvider,
    tables: Arc<Tables>,
}

impl std::fmt::Debug for InformationSchema {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("information_schema")
    }
}

impl InformationSchema {
    /// Of the tables and of the table functions of a session.
    pub fn new(state: &SessionState, tables: &Arc<Tables>) -> InformationSchema {
        // A list of its own: in that of the session it would hold itself.
        let (all, ours) = (MemoryCatalogProviderList::new(), MemoryCatalogProvider::new());
        let _ = ours.register_schema(SCHEMA, tables.clone());
        all.register_catalog(CATALOG.to_owned(), Arc::new(ours));
        let inner = InformationSchemaProvider::new(Arc::new(all)).with_table_functions(state.table_functions().clone());
        InformationSchema { inner, tables: tables.clone() }
    }

    fn remarks(&self) -> HashMap<InformationKey, String> {
        let mut remarks = HashMap::new();
        for table in self.tables.descriptions() {
            let key = |column: &str| [table.schema_name.to_owned(), table.name.clone(), column.to_owned()];
            for (field, remark) in table.schema.fields().iter().zip(table.column_remarks) {
                remarks.insert(key(field.name()), remark);
            }
            remarks.insert(key(""), table.remark);
        }
        remarks
    }
}

#[async_trait]
impl SchemaProvider for InformationSchema {
    fn table_names(&self) -> Vec<String> {
        self.inner.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = self.inner.table(name).await? else { return Ok(None) };
        let (of, remarks) = match name {
            "tables" => ([ident("table_schema"), ident("table_name"), lit("")], self.remarks()),
            "columns" => ([ident("table_schema"), ident("table_name"), ident("column_name")], self.remarks()),
            "routines" => {
                let of_function = |function: function::FunctionDescription| {
                    let remark = format!("{}: {}", function.usage, function.remark);
                    ([SCHEMA.to_owned(), function.name.to_owned(), "TABLE".to_owned()], remark)
                };
                let remarks = function::descriptions().into_iter().map(of_function).collect();
                ([ident("routine_schema"), ident("routine_name"), ident("function_type")], remarks)
            }
            _ => return Ok(Some(table)),
        };
        let columns = table.schema().fields().iter().map(|field| ident(field.name())).collect::<Vec<Expr>>();
        let remark = ScalarUDF::from(Remark {
            remarks: Arc::new(remarks),
            signature: Signature::exact(vec![DataType::Utf8; 3], Volatility::Stable),
        });
        let plan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?
            .project(columns.into_iter().chain([remark.call(of.to_vec()).alias("remarks")]))?
            .build()?;
        Ok(Some(Arc::new(ViewTable::new(plan, None))))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        self.inner.table_type(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.inner.table_exist(name)
    }
}

/// The remark of what its arguments name; null where there is none.
#[derive(Debug)]
struct Remark {
    remarks: Arc<HashMap<InformationKey, String>>,
    signature: Signature,
}

impl PartialEq for Remark {
    fn eq(&self, other: &Remark) -> bool {
        self.remarks == other.remarks
    }
}

impl Eq for Remark {}

impl Hash for Remark {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.remarks.len().hash(state);
    }
}

impl ScalarUDFImpl for Remark {
    fn name(&self) -> &'static str {
        "remark"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let names = ColumnarValue::values_to_arrays(&arguments.args)?;
        let name = |of: usize, row: usize| {
            let column = names.get(of)?.as_string_opt::<i32>()?;
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let rows = names.first().map_or(0, Array::len);
        let remark = |row: usize| self.remarks.get(&[name(0, row)?, name(1, row)?, name(2, row)?]).map(String::as_str);
        Ok(ColumnarValue::Array(Arc::new((0..rows).map(remark).collect::<StringArray>())))
    }
}
